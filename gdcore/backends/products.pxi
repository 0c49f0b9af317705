# The two inner products every epoch consists of, four rows at a time; included by kernel.pyx.

cdef inline void prefetch4(const void* f0, const void* f1, const void* f2, const void* f3, Py_ssize_t bytes) noexcept nogil:
    # Asks for the cache lines that begin in `bytes` bytes of four rows: rows side by side ask for each line once.
    cdef Py_ssize_t z, first = <Py_ssize_t>f0 - 1
    for z in range((first + bytes) // LINE - first // LINE):
        gdcore_prefetch(<const char*>f0 + z * LINE)
        gdcore_prefetch(<const char*>f1 + z * LINE)
        gdcore_prefetch(<const char*>f2 + z * LINE)
        gdcore_prefetch(<const char*>f3 + z * LINE)


cdef inline void dot4(const floating* q0, const floating* q1, const floating* q2, const floating* q3,
                      const floating* w, Py_ssize_t d, floating* out) noexcept nogil:
    # out (4,) = the four rows (d,) · w (d,); sums over more than LONG columns are made in double
    cdef floating a0, a1, a2, a3
    cdef double b0 = 0, b1 = 0, b2 = 0, b3 = 0
    cdef Py_ssize_t j, m, left = d
    while left > 0:
        m = min(left, <Py_ssize_t>LONG)
        a0 = a1 = a2 = a3 = 0
        for j in range(m):
            a0 += q0[j] * w[j]
            a1 += q1[j] * w[j]
            a2 += q2[j] * w[j]
            a3 += q3[j] * w[j]
        b0 += a0
        b1 += a1
        b2 += a2
        b3 += a3
        q0 += m; q1 += m; q2 += m; q3 += m
        w += m
        left -= m
    out[0] = <floating>b0
    out[1] = <floating>b1
    out[2] = <floating>b2
    out[3] = <floating>b3


cdef inline void axpy4(const floating* p0, const floating* p1, const floating* p2, const floating* p3,
                       const floating* r, double* g, Py_ssize_t d) noexcept nogil:
    # g (d,) += Σ r (4,) · the four rows (d,)
    cdef floating r0 = r[0], r1 = r[1], r2 = r[2], r3 = r[3]
    cdef Py_ssize_t j
    for j in range(d):
        g[j] += <double>(r0 * p0[j] + r1 * p1[j] + r2 * p2[j] + r3 * p3[j])


cdef inline void step4(const floating* q0, const floating* q1, const floating* q2, const floating* q3,
                       const floating* p0, const floating* p1, const floating* p2, const floating* p3,
                       const floating* f0, const floating* f1, const floating* f2, const floating* f3,
                       const floating* r, const floating* w, double* g, Py_ssize_t d, floating* out) noexcept nogil:
    # dot4 of the rows q and axpy4 of the rows p, which came a block earlier, in one loop, while the rows f are asked for.
    cdef floating r0 = r[0], r1 = r[1], r2 = r[2], r3 = r[3]
    cdef floating a0, a1, a2, a3
    cdef double b0 = 0, b1 = 0, b2 = 0, b3 = 0
    cdef Py_ssize_t j, m, left = d
    while left > 0:
        m = min(left, <Py_ssize_t>TILE)
        prefetch4(f0, f1, f2, f3, m * <Py_ssize_t>sizeof(floating))
        a0 = a1 = a2 = a3 = 0
        for j in range(m):
            a0 += q0[j] * w[j]
            a1 += q1[j] * w[j]
            a2 += q2[j] * w[j]
            a3 += q3[j] * w[j]
            g[j] += <double>(r0 * p0[j] + r1 * p1[j] + r2 * p2[j] + r3 * p3[j])
        b0 += a0
        b1 += a1
        b2 += a2
        b3 += a3
        q0 += m; q1 += m; q2 += m; q3 += m
        p0 += m; p1 += m; p2 += m; p3 += m
        f0 += m; f1 += m; f2 += m; f3 += m
        w += m
        g += m
        left -= m
    out[0] = <floating>b0
    out[1] = <floating>b1
    out[2] = <floating>b2
    out[3] = <floating>b3
