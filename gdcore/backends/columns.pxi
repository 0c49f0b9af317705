# X by columns: Fortran order, the columns of a frame; included by kernel.pyx.
#
# A block of rows is visited column by column: raw += w_j·x_j, four columns at a time, then g_j += x_j·r while the columns are
# in cache. Nothing is copied, but where the rows of a column are apart: four runs of a column at a time are then put together.

cdef inline const floating* run_of(Pass* t, Scratch* own, Py_ssize_t start, Py_ssize_t m, Py_ssize_t j,
                                   floating* tag) noexcept nogil:
    # Rows start … start + m of column j, as they lie or their copy.
    cdef const char *source = t.x + start * t.x_row + j * t.x_column
    cdef floating *to
    cdef Py_ssize_t i
    if t.x_row == sizeof(floating):
        return <const floating*>source
    to = <floating*>own.packed + j % 4 * t.block
    for i in range(m):
        to[i] = (<const floating*>(source + i * t.x_row))[0]
    return to


cdef inline void add_columns(const floating* x0, const floating* x1, const floating* x2, const floating* x3,
                             const floating* w, Py_ssize_t count, Py_ssize_t m, floating* raw) noexcept nogil:
    # raw (m,) += Σ w (count,) · columns (m,), one column or four
    cdef floating w0 = w[0], w1, w2, w3
    cdef Py_ssize_t i
    if count == 1:
        for i in range(m):
            raw[i] += w0 * x0[i]
        return
    w1, w2, w3 = w[1], w[2], w[3]
    for i in range(m):
        raw[i] += w0 * x0[i] + w1 * x1[i] + w2 * x2[i] + w3 * x3[i]


cdef inline void dot_columns(const floating* x0, const floating* x1, const floating* x2, const floating* x3,
                             const floating* r, Py_ssize_t count, Py_ssize_t m, double* g) noexcept nogil:
    # g (count,) += columns (m,) · r (m,), one column or four
    cdef floating a0 = 0, a1 = 0, a2 = 0, a3 = 0
    cdef Py_ssize_t i
    if count == 1:
        for i in range(m):
            a0 += r[i] * x0[i]
        g[0] += a0
        return
    for i in range(m):
        a0 += r[i] * x0[i]
        a1 += r[i] * x1[i]
        a2 += r[i] * x2[i]
        a3 += r[i] * x3[i]
    g[0] += a0
    g[1] += a1
    g[2] += a2
    g[3] += a3


cdef inline void keep_sums(floating* raw, double* whole, Py_ssize_t count) noexcept nogil:
    # whole (count,) += raw (count,), which begins anew
    cdef Py_ssize_t i
    for i in range(count):
        whole[i] += raw[i]
        raw[i] = 0


cdef inline void ask_for(const floating* x, Py_ssize_t m) noexcept nogil:
    # The lines of a run of a column that will be wanted later
    cdef Py_ssize_t i
    for i in range(m * <Py_ssize_t>sizeof(floating) // LINE):
        gdcore_prefetch_later(<const char*>x + i * LINE)


cdef void column_chunk(Pass* t, Scratch* own, Py_ssize_t low, Py_ssize_t high, Team* team, floating* tag) noexcept nogil:
    # Rows low … high of X, a block of rows at a time; sums over more than LONG columns are made in double.
    cdef Py_ssize_t d = t.d, k = t.k, m, j, c, i, count
    cdef double *whole = own.whole
    cdef bint in_place = t.x_row == sizeof(floating)
    cdef double *g = own.sums + 2 + k
    cdef const floating *w = <floating*>t.w
    cdef floating *raw = <floating*>own.raw
    cdef const floating *x[4]
    cdef Block block
    block.start, block.streams, block.span, block.high = low, 1, 0, high
    while block.start < high:
        m = block.rows = min(t.block, high - block.start)
        if abandoned(team, own, m * d * k):
            return

        # forward   Ŷ = XW + b
        for i in range(k * m):
            raw[i] = 0
        if t.parted:
            memset(whole, 0, k * m * sizeof(double))
        j = 0
        while j < d:
            count = 4 if j + 4 <= d else 1
            for i in range(count):
                x[i] = run_of(t, own, block.start, m, j + i, tag)
                if in_place:
                    ask_for(x[i] + m, m // 2)
            for c in range(k):
                add_columns(x[0], x[1], x[2], x[3], w + c * d + j, count, m, raw + c * m)
            j += count
            if t.parted and j % LONG == 0:
                keep_sums(raw, whole, k * m)
        if t.parted:
            for i in range(k * m):
                raw[i] = <floating>(whole[i] + raw[i])
        residuals(t, own, &block, tag)

        # backward  ∇W = Xᵀ·∂ℓ/∂Ŷ
        j = 0 if t.job == GRADIENT else d
        while j < d:
            count = 4 if j + 4 <= d else 1
            for i in range(count):
                x[i] = run_of(t, own, block.start, m, j + i, tag)
                if in_place:
                    ask_for(x[i] + m + m // 2, m - m // 2)
            for c in range(k):
                dot_columns(x[0], x[1], x[2], x[3], raw + c * m, count, m, g + c * d + j)
            j += count
        block.start += m
