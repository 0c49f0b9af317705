# Second moments, S = Σ s·z·zᵀ over the rows z = [x, y] − shift: what the spectrum and the normal equations are made of;
# included by kernel.pyx.
#
# A panel of rows is packed, less the shift and times √s, in float64, into stripes of some columns: tiles of S are then sums
# of outer products in registers (vectors.h), whatever X's dtype and layout. Rows whose numbers are apart are first put
# together, a stripe at a time: the sums have the same bits in every layout. One pass, n·p²/2 multiply-adds.

cdef extern from "vectors.h":
    enum: GDCORE_LANES
    enum: GDCORE_STRIPE
    ctypedef struct gdcore_wanted:
        const char* first
        Py_ssize_t step, runs, lines, run, line
    void gdcore_squares(const double* z, Py_ssize_t room, Py_ssize_t rows, Py_ssize_t p, double* out,
                        gdcore_wanted* next) noexcept nogil
    void gdcore_chains(Py_ssize_t rounds, double* out) noexcept nogil
    Py_ssize_t GDCORE_CHAINS
    void gdcore_sums(const double* z, const double* weights, Py_ssize_t room, Py_ssize_t rows, Py_ssize_t p,
                     double* first) noexcept nogil
    void gdcore_pack_float(const char* x, Py_ssize_t step, Py_ssize_t rows, Py_ssize_t count, Py_ssize_t squared,
                           const double* shift, const double* scale, double* to, double* lengths) noexcept nogil
    void gdcore_pack_double(const char* x, Py_ssize_t step, Py_ssize_t rows, Py_ssize_t count, Py_ssize_t squared,
                            const double* shift, const double* scale, double* to, double* lengths) noexcept nogil


cdef void moments_chunk(Pass* t, Scratch* own, Py_ssize_t low, Py_ssize_t high, Team* team, floating* tag) noexcept nogil:
    # sums: the largest ‖x‖² with s > 0, Σ s, Σ s·z (p,), S (p, p) of which the upper triangle
    cdef Py_ssize_t p = t.d + t.y_columns, start = low, room = t.block + 1, m, i, j
    cdef double *z = <double*>own.packed + GDCORE_STRIPE
    cdef gdcore_wanted next
    cdef double *root = own.room
    cdef double *lengths = <double*>own.raw
    cdef double s
    while start < high:
        m = min(t.block, high - start)
        if abandoned(team, own, m * p * (p + 2) // 2):
            return
        for i in range(m):
            root[i] = 1
        if t.s == NULL:
            own.sums[1] += m
        else:
            for i in range(m):
                s = (<const floating*>(t.s + (start + i) * t.s_row))[0]
                own.sums[1] += s
                root[i] = sqrt(s)
        pack_panel(t, own, start, m, tag)
        for i in range(m):
            s = 0
            for j in range(GDCORE_LANES):
                s += lengths[i * GDCORE_LANES + j]
            if root[i] > 0 and own.sums[0] == own.sums[0] and not s <= own.sums[0]:     # NaN wins
                own.sums[0] = s
        gdcore_sums(z, root, room, m, p, own.sums + 2)
        start += m
        next_panel(t, start, min(t.block, high - start), &next)
        gdcore_squares(z, room, m, p, own.sums + 2 + p, &next)


cdef inline void next_panel(Pass* t, Py_ssize_t start, Py_ssize_t m, gdcore_wanted* next) noexcept nogil:
    # What of X m rows from `start` on take, row by row or column by column.
    cdef Py_ssize_t item = 8 if t.wide else 4
    next.first, next.run, next.line = t.x + start * t.x_row, 0, 0
    next.step, next.runs, next.lines = t.x_row, m, t.d * item // LINE + 1
    if not t.direct:
        next.step, next.runs, next.lines = t.x_column, t.d, m * item // LINE
    if t.x_row != item and not t.direct or m <= 0:
        next.runs = 0       # every number is apart: the processor finds its way


cdef void pack_panel(Pass* t, Scratch* own, Py_ssize_t start, Py_ssize_t m, floating* tag) noexcept nogil:
    # own.packed = √s·([x, y] − shift) of m rows in stripes; own.raw (m, LANES) = what ‖x‖² is the sum of.
    cdef Py_ssize_t p = t.d + t.y_columns, whole = 0, i = 0, j, first, many, step
    cdef const char *source
    cdef floating *apart = <floating*>own.behind + LANES
    memset(own.raw, 0, m * GDCORE_LANES * sizeof(double))
    if t.direct and t.d >= GDCORE_LANES:
        # whole stripes of a row, or with no Y beside them all of it, as they lie
        whole = t.d // GDCORE_STRIPE * GDCORE_STRIPE if t.y_columns else t.d
        while i < m:
            many = min(<Py_ssize_t>LANES, m - i)
            first = 0
            while first < whole:
                pack_stripe(t, own, i, many, first, min(first + GDCORE_STRIPE, whole),
                            <const floating*>(t.x + (start + i) * t.x_row) + first, t.x_row)
                first += GDCORE_STRIPE
            i += many
    first = whole
    while first < p:
        j = first
        while j < min(first + GDCORE_STRIPE, p):
            source, step = t.x + start * t.x_row + j * t.x_column, t.x_row
            if j >= t.d:
                source, step = t.y + start * t.y_row + (j - t.d) * t.y_column, t.y_row
            many = 4 if j + 4 <= min(first + GDCORE_STRIPE, t.d) else 1
            put_columns(source, step, t.x_column, many, m, apart + j - first)
            j += many
        pack_stripe(t, own, 0, m, first, min(first + GDCORE_STRIPE, p), apart, GDCORE_STRIPE * sizeof(floating))
        first += GDCORE_STRIPE


cdef inline void put_columns(const char* x, Py_ssize_t step, Py_ssize_t column, Py_ssize_t many, Py_ssize_t m,
                             floating* to) noexcept nogil:
    # m rows of one column or four: numbers that are `step` bytes apart, now a stripe apart
    cdef Py_ssize_t i
    if many == 1:
        for i in range(m):
            to[i * GDCORE_STRIPE] = (<const floating*>(x + i * step))[0]
        return
    for i in range(m):
        to[i * GDCORE_STRIPE] = (<const floating*>(x + i * step))[0]
        to[i * GDCORE_STRIPE + 1] = (<const floating*>(x + i * step + column))[0]
        to[i * GDCORE_STRIPE + 2] = (<const floating*>(x + i * step + 2 * column))[0]
        to[i * GDCORE_STRIPE + 3] = (<const floating*>(x + i * step + 3 * column))[0]


cdef inline void pack_stripe(Pass* t, Scratch* own, Py_ssize_t i, Py_ssize_t m, Py_ssize_t first, Py_ssize_t last,
                             const floating* x, Py_ssize_t step) noexcept nogil:
    # Columns first … last of the rows i … i + m of a panel.
    cdef double *to = <double*>own.packed + first * (t.block + 1) + (i + 1) * GDCORE_STRIPE
    cdef double *lengths = <double*>own.raw + i * GDCORE_LANES
    cdef Py_ssize_t squared = max(0, min(last, t.d) - first)
    if floating is double:
        gdcore_pack_double(<const char*>x, step, m, last - first, squared, t.shift + first, own.room + i, to, lengths)
    else:
        gdcore_pack_float(<const char*>x, step, m, last - first, squared, t.shift + first, own.room + i, to, lengths)
