# Second moments, S = Σ s·z·zᵀ over the rows z = [x, y] − shift: what the spectrum and the normal equations are made of;
# included by kernel.pyx.
#
# Rows are turned in panels, less the shift and times √s, in float64: every product is then between two runs of PANEL
# numbers in cache, whatever X's dtype and layout. Eight products at a time, so that each number loaded is used in two to
# four of them. One pass, n·p²/2 multiply-adds.

cdef void moments_chunk(Pass* t, Scratch* own, Py_ssize_t low, Py_ssize_t high, Team* team, floating* tag) noexcept nogil:
    # sums: the largest ‖x‖² with s > 0, Σ s, Σ s·z (p,), S (p, p) of which the upper triangle
    cdef Py_ssize_t p = t.d + t.y_columns, start = low, m, i, j
    cdef double *z = <double*>own.packed
    cdef double *root = own.room
    cdef double *sums = own.sums + 2
    cdef double *squares = own.sums + 2 + p
    cdef double *column
    cdef double s, total
    while start < high:
        m = min(<Py_ssize_t>PANEL, high - start)
        if abandoned(team, own, PANEL * p * (p + 2) // 2):
            return
        for i in range(m):
            s = 1 if t.s == NULL else (<const floating*>(t.s + (start + i) * t.s_row))[0]
            own.sums[1] += s
            root[i] = sqrt(s)
        for i in range(m, <Py_ssize_t>PANEL):
            root[i] = 0
        memset(own.raw, 0, PANEL * sizeof(double))
        for j in range(t.d):
            take_column(t.x + start * t.x_row + j * t.x_column, t.x_row, t.shift[j], m, root, z + j * PANEL_STRIDE,
                        <double*>own.raw, tag)
        for j in range(t.y_columns):
            take_column(t.y + start * t.y_row + j * t.y_column, t.y_row, t.shift[t.d + j], m, root,
                        z + (t.d + j) * PANEL_STRIDE, NULL, tag)
        for i in range(m):
            s = (<double*>own.raw)[i]
            if root[i] > 0 and not s <= own.sums[0]:
                own.sums[0] = s
        for j in range(p):
            column = z + j * PANEL_STRIDE
            total = 0
            for i in range(PANEL):
                total += root[i] * column[i]
            sums[j] += total
        for j in range(0, p, 2):
            products_of(z, j, p, squares)
        start += m


cdef inline void take_column(const char* source, Py_ssize_t step, double shift, Py_ssize_t m, const double* root,
                             double* column, double* lengths, floating* tag) noexcept nogil:
    # column (PANEL,) = √s·(source − shift), padded with 0; lengths += source²
    cdef Py_ssize_t i
    cdef double v
    for i in range(m):
        v = (<const floating*>(source + i * step))[0]
        column[i] = root[i] * (v - shift)
        if lengths != NULL:
            lengths[i] += v * v
    for i in range(m, <Py_ssize_t>PANEL):
        column[i] = 0


cdef inline void products_of(const double* z, Py_ssize_t j, Py_ssize_t p, double* squares) noexcept nogil:
    # S[j, l] and S[j + 1, l] += the products of columns j, j + 1 with the columns l = j, …, p − 1, four at a time
    cdef const double *a = z + j * PANEL_STRIDE
    cdef const double *b = z + min(j + 1, p - 1) * PANEL_STRIDE
    cdef const double *c0
    cdef const double *c1
    cdef const double *c2
    cdef const double *c3
    cdef double a0, a1, a2, a3, b0, b1, b2, b3
    cdef double *above = squares + j * p
    cdef double *below = squares + min(j + 1, p - 1) * p
    cdef bint two = j + 1 < p
    cdef Py_ssize_t i, l = j
    while l < p:
        c0 = z + l * PANEL_STRIDE
        c1 = z + min(l + 1, p - 1) * PANEL_STRIDE
        c2 = z + min(l + 2, p - 1) * PANEL_STRIDE
        c3 = z + min(l + 3, p - 1) * PANEL_STRIDE
        a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = 0
        for i in range(PANEL):
            a0 += a[i] * c0[i]
            a1 += a[i] * c1[i]
            a2 += a[i] * c2[i]
            a3 += a[i] * c3[i]
            b0 += b[i] * c0[i]
            b1 += b[i] * c1[i]
            b2 += b[i] * c2[i]
            b3 += b[i] * c3[i]
        add4(above + l, min(4, p - l), a0, a1, a2, a3)
        if two:
            add4(below + l, min(4, p - l), b0, b1, b2, b3)
        l += 4


cdef inline void add4(double* out, Py_ssize_t count, double a0, double a1, double a2, double a3) noexcept nogil:
    out[0] += a0
    if count > 1:
        out[1] += a1
    if count > 2:
        out[2] += a2
    if count > 3:
        out[3] += a3
