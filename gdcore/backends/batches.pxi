# Steps of few rows, one after the other on the calling thread; included by kernel.pyx.
#
# A pass of the team (chunks, buffers laid out, sums put together) costs more than the rows of a small step. Small steps are
# therefore made here: the rows of a step are found, and multiplied with the weights; their slopes are made, and multiplied with
# the same rows; the weights follow. Weights and gradient stay in cache. Memory is asked for the rows of coming steps, whole,
# while those at hand are multiplied: where the order is shuffled no prefetcher knows them, and one that knows them stops at
# every page. Rows in order that are shorter than ASKED bytes are left to it.

cdef enum:
    SMALL = 64              # rows of a batch that are a small step, at most
    FEW = 16                # and where long rows come in order, for which four streams are better
    RUN = 256               # columns between two rounds of prefetching
    ASKED = 512             # bytes from which on a row is long, and asked for in order too


cdef struct Steps:
    # What small steps need beside their Pass.
    Rule rule
    double lr, l1, l2
    Box box
    bint has_bias
    bint plain                      # nothing but W ← W − lr·∇W
    bint ask                        # for the rows of coming steps
    Py_ssize_t lookahead            # so many positions ahead
    Py_ssize_t taken                # steps so far, those of earlier epochs among them
    double value, total             # Σ s·ℓ, each at the weights that its batch met, and Σ s


cdef inline bint gather(Pass* t, Steps* e, Scratch* own, Py_ssize_t low, Py_ssize_t m, Py_ssize_t padded,
                        floating* tag) noexcept nogil:
    # own.rows, own.targets and own.s of the positions low … low + m, and own.soon, the rows to ask for meanwhile. Padding is
    # the first row once more, with weight 0. False where the order has what is no row.
    cdef floating *s = <floating*>own.s
    cdef floating *y = <floating*>own.y
    cdef floating *packed = <floating*>own.packed
    cdef const char *x
    cdef bint in_place = t.order == NULL and m == padded and t.y_columns == 1 and t.y_row == sizeof(floating)
    cdef Py_ssize_t i, j, c, row, soon
    own.targets = t.y + low * t.y_row if in_place else <char*>y
    for i in range(m):
        s[i] = 1
    if in_place and t.direct and t.s == NULL and not e.ask:
        for i in range(m):
            own.rows[i] = <void*>(t.x + (low + i) * t.x_row)
        return True
    for i in range(m):
        row = low + i
        soon = min(row + e.lookahead, t.last - 1)
        if t.order != NULL:
            row = t.order[row]
            soon = t.order[soon]
            if not (0 <= row < t.last and 0 <= soon < t.last):
                return False
            gdcore_prefetch(t.y + soon * t.y_row)
            if t.s != NULL:
                gdcore_prefetch(t.s + soon * t.s_row)
        x = t.x + row * t.x_row
        own.rows[i], own.soon[i] = <void*>x, <void*>(t.x + soon * t.x_row)
        if not t.direct:
            own.rows[i] = packed
            for j in range(t.d):
                packed[j] = (<const floating*>(x + j * t.x_column))[0]
            packed += t.d
        if t.s != NULL:
            s[i] = (<const floating*>(t.s + row * t.s_row))[0]
        for c in range(0 if in_place else t.y_columns):
            y[c * padded + i] = (<const floating*>(t.y + row * t.y_row + c * t.y_column))[0]
    for i in range(m, padded):
        own.rows[i], own.soon[i] = own.rows[0], own.soon[0]
        s[i] = 0
        for c in range(t.y_columns):
            y[c * padded + i] = y[c * padded]
    return True


cdef inline floating forward1(const floating* q, const char* soon, const floating* w, Py_ssize_t d,
                              bint ask) noexcept nogil:
    # A row (d,) · w (d,), while another row is asked for
    cdef double b = 0
    cdef floating a
    cdef Py_ssize_t j, m, bytes, left = d
    while left > 0:
        m = min(left, <Py_ssize_t>RUN)
        bytes = m * <Py_ssize_t>sizeof(floating)
        if ask:
            for j in range((bytes - 1) // LINE + 1):
                gdcore_prefetch(soon + j * LINE)
            soon += bytes
            gdcore_prefetch(soon - 1)
        a = 0
        for j in range(m):
            a += q[j] * w[j]
        b += a
        q += m
        w += m
        left -= m
    return <floating>b


cdef inline void forward4(void** q, void** f, const floating* w, Py_ssize_t d, bint ask,
                          floating* out) noexcept nogil:
    # Four rows (d,) · w (d,), while four others are asked for
    cdef double b0 = 0, b1 = 0, b2 = 0, b3 = 0
    cdef Py_ssize_t m, first = 0
    while first < d:
        m = min(d - first, <Py_ssize_t>RUN)
        if ask:
            prefetch4(<floating*>f[0] + first, <floating*>f[1] + first, <floating*>f[2] + first, <floating*>f[3] + first,
                      m * <Py_ssize_t>sizeof(floating))
        dot4(<floating*>q[0] + first, <floating*>q[1] + first, <floating*>q[2] + first, <floating*>q[3] + first, w + first, m,
             out)
        b0 += out[0]
        b1 += out[1]
        b2 += out[2]
        b3 += out[3]
        first += m
    out[0] = <floating>b0
    out[1] = <floating>b1
    out[2] = <floating>b2
    out[3] = <floating>b3


cdef inline void backward4(void** p, const floating* r, bint more, floating* g, Py_ssize_t d) noexcept nogil:
    # g (d,) = (g +) Σ r (4,) · four rows (d,)
    cdef const floating *p0 = <floating*>p[0]
    cdef const floating *p1 = <floating*>p[1]
    cdef const floating *p2 = <floating*>p[2]
    cdef const floating *p3 = <floating*>p[3]
    cdef floating r0 = r[0], r1 = r[1], r2 = r[2], r3 = r[3]
    cdef Py_ssize_t j
    if more:
        for j in range(d):
            g[j] += r0 * p0[j] + r1 * p1[j] + r2 * p2[j] + r3 * p3[j]
    else:
        for j in range(d):
            g[j] = r0 * p0[j] + r1 * p1[j] + r2 * p2[j] + r3 * p3[j]


cdef inline void step_end(Pass* t, Steps* e, floating* w, floating* g, floating* state, double total) noexcept nogil:
    # The weights and biases w (k·d + k,) follow the sums g (k·d + k,) of the gradients of a batch; total = Σ s.
    cdef Py_ssize_t j, size = t.k * t.d, moving = size + t.k if e.has_bias else size
    cdef floating rate = <floating>(e.lr / total), decay = <floating>(e.lr * e.l2)
    if e.plain:
        for j in range(size):
            w[j] -= rate * g[j] + decay * w[j]
        for j in range(size, moving):
            w[j] -= rate * g[j]
    else:
        for j in range(size):
            g[j] = <floating>(g[j] / total + e.l2 * w[j])
        for j in range(size, moving):
            g[j] = <floating>(g[j] / total)
        follow(&e.rule, w, g, state, size + t.k, moving, e.lr, e.taken)
    shrink(w, size, e.lr * e.l1, e.box)


cdef int steps_of_one(Pass* t, Steps* e, Team* team, Scratch* own, floating* w, floating* g, floating* state) noexcept nogil:
    # An epoch in batches of one row.
    cdef Py_ssize_t d = t.d, k = t.k, size = k * d, position, j, c
    cdef bint at_once = e.plain and k == 1
    cdef floating s, rate, decay = <floating>(e.lr * e.l2)
    cdef floating *raw = <floating*>own.raw
    cdef const floating *x
    for position in range(t.last):
        if abandoned(team, own, 8 * size + 64):
            return INTERRUPTED
        if not gather(t, e, own, position, 1, 1, w):
            return MISPLACED
        s = (<floating*>own.s)[0]
        if not s > 0:
            continue
        e.total += s
        e.taken += 1
        x = <const floating*>own.rows[0]

        # forward   Ŷ = XW + b
        for c in range(k):
            own.sums[c] = 0
            raw[c] = forward1(x, <const char*>own.soon[0], w + c * d, d, e.ask and c == 0)
        derivatives(t.loss, t.parameter, t.smoothing, 1, k, raw, <const floating*>own.targets, &s, w + size, own.room, &e.value,
                    own.sums)

        # backward  ∇W = Xᵀ·∂ℓ/∂Ŷ, at once with the step where this is one product
        if at_once:
            rate = <floating>(e.lr / s) * raw[0]
            for j in range(d):
                w[j] -= rate * x[j] + decay * w[j]
            if e.has_bias:
                w[d] -= rate
            shrink(w, d, e.lr * e.l1, e.box)
            continue
        for c in range(k):
            rate = g[size + c] = raw[c]
            for j in range(d):
                g[c * d + j] = rate * x[j]
        step_end(t, e, w, g, state, s)
    return FINISHED


cdef int steps_of_many(Pass* t, Steps* e, Team* team, Scratch* own, floating* w, floating* g, floating* state) noexcept nogil:
    # An epoch in batches of t.n rows.
    cdef Py_ssize_t d = t.d, k = t.k, size = k * d, low = 0, m = 0, padded, i, j, c
    cdef floating *raw = <floating*>own.raw
    while low < t.last:
        m = min(t.n, t.last - low)
        padded = (m + 3) // 4 * 4
        if abandoned(team, own, (m + 8) * size + 64):
            return INTERRUPTED
        if not gather(t, e, own, low, m, padded, w):
            return MISPLACED
        low += m
        for j in range(2 + k):
            own.sums[j] = 0
        for i in range(m):
            own.sums[1] += (<floating*>own.s)[i]

        # forward   Ŷ = XW + b
        for i in range(0, padded, 4):
            for c in range(k):
                forward4(own.rows + i, own.soon + i, w + c * d, d, e.ask and c == 0, raw + c * padded + i)
        derivatives(t.loss, t.parameter, t.smoothing, padded, k, raw, <const floating*>own.targets, <floating*>own.s, w + size,
                    own.room, own.sums, own.sums + 2)

        # backward  ∇W = Xᵀ·∂ℓ/∂Ŷ
        if not own.sums[1] > 0:
            continue
        for c in range(k):
            for i in range(0, padded, 4):
                backward4(own.rows + i, raw + c * padded + i, i > 0, g + c * d, d)
            g[size + c] = <floating>own.sums[2 + c]
        e.value += own.sums[0]
        e.total += own.sums[1]
        e.taken += 1
        step_end(t, e, w, g, state, own.sums[1])
    return FINISHED


cdef bint are_small(Pass* t) noexcept nogil:
    # Whether batches of t.n rows are small steps.
    cdef bint long_rows = t.order == NULL and t.d * (8 if t.wide else 4) >= ASKED
    return t.n <= (FEW if long_rows else SMALL) and t.n * t.d * t.k < SHARED_WORK


cdef int small_steps(Pass* t, Steps* e, Team* team, floating* w, floating* g, floating* state) noexcept nogil:
    # An epoch in batches of t.n rows: weights and biases w (k·d + k,) and an optimizer's state are moved; g (k·d + k,) is room.
    cdef Py_ssize_t row_bytes = t.d * <Py_ssize_t>sizeof(floating)
    cdef Scratch own
    cdef char* memory
    cdef int outcome
    t.block = (t.n + 3) // 4 * 4
    t.turned = t.columns = t.parted = False
    memory = <char*>malloc(carve(t, &own, NULL) + LINE)
    if memory == NULL:
        return EXHAUSTED
    carve(t, &own, <char*>lines(<size_t>memory))
    own.number = 0
    own.unchecked = 0
    e.lookahead = max(1, 2 * BLOCK // row_bytes)
    e.ask = t.direct and (t.order != NULL or row_bytes >= ASKED)
    if t.n == 1:
        outcome = steps_of_one(t, e, team, &own, w, g, state)
    else:
        outcome = steps_of_many(t, e, team, &own, w, g, state)
    free(memory)
    return outcome
