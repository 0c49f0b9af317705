# How rows are visited, block by block: targets and residuals of a block, then the walks over X; included by kernel.pyx.

cdef inline Py_ssize_t valid(Block* block, Py_ssize_t stream) noexcept nogil:
    # How many of a stream's rows exist; the last stream can be short.
    return max(0, min(block.rows, block.high - block.start - stream * block.span))


cdef inline Py_ssize_t row_at(Pass* t, Py_ssize_t position) noexcept nogil:
    return position if t.order == NULL else t.order[position]


cdef void targets(Pass* t, Scratch* own, Block* block, floating* tag) noexcept nogil:
    # y (y_columns, m) and s (m,) of the block's rows, stream after stream; padding has y = 0 and s = 0.
    cdef floating *y
    cdef floating *s
    cdef const char *source
    cdef Py_ssize_t m = block.rows * block.streams, stream, c, i, count, start
    cdef bint in_place = (block.streams == 1 and t.y_columns == 1 and t.y_row == sizeof(floating) and t.order == NULL
                          and valid(block, 0) == m)
    own.targets = t.y + block.start * t.y_row if in_place else <char*>own.y
    for stream in range(block.streams):
        start = block.start + stream * block.span
        count = valid(block, stream)
        s = <floating*>own.s + stream * block.rows
        if t.s == NULL:
            for i in range(count):
                s[i] = 1
        else:
            for i in range(count):
                s[i] = (<const floating*>(t.s + row_at(t, start + i) * t.s_row))[0]
        for i in range(count, block.rows):
            s[i] = 0
        for c in range(0 if in_place else t.y_columns):
            y = <floating*>own.y + c * m + stream * block.rows
            source = t.y + c * t.y_column
            if t.order == NULL and t.y_row == sizeof(floating):
                memcpy(y, source + start * t.y_row, count * sizeof(floating))
            else:
                for i in range(count):
                    y[i] = (<const floating*>(source + row_at(t, start + i) * t.y_row))[0]
            for i in range(count, block.rows):
                y[i] = 0


cdef void predictions(Pass* t, Scratch* own, Block* block, floating* tag) noexcept nogil:
    # Ŷ = XW + b, written where the caller wants it.
    cdef Py_ssize_t m = block.rows * block.streams, stream, c, i
    cdef const floating *raw
    cdef floating bias
    cdef char *target
    for c in range(t.k):
        bias = (<floating*>t.b)[c]
        for stream in range(block.streams):
            raw = <floating*>own.raw + c * m + stream * block.rows
            target = t.out + (block.start + stream * block.span) * t.out_row + c * t.out_column
            for i in range(valid(block, stream)):
                (<floating*>(target + i * t.out_row))[0] = raw[i] + bias


cdef void residuals(Pass* t, Scratch* own, Block* block, floating* tag) noexcept nogil:
    # raw (k, m) = XW becomes ∂ℓ/∂Ŷ (k, m); the loss, the total weight and ∇b are added to the sums. Formulas: losses.pxi.
    cdef Py_ssize_t m = block.rows * block.streams, q
    cdef const floating *s = <floating*>own.s
    if t.job == PREDICT:
        predictions(t, own, block, tag)
        return
    targets(t, own, block, tag)
    cdef floating total = 0
    for q in range(m):
        total += s[q]
    own.sums[1] += total
    derivatives(t.loss, t.parameter, t.smoothing, m, t.k, <floating*>own.raw, <const floating*>own.targets, s,
                <const floating*>t.b, own.room, own.sums, own.sums + 2)


cdef size_t carve(Pass* t, Scratch* own, char* memory) noexcept nogil:
    # Lays the buffers out from `memory` on; the bytes they take.
    cdef size_t item = 8 if t.wide else 4, cell = lines(t.block * t.k * item)
    cdef char* start = memory
    cdef Py_ssize_t p
    own.sums = <double*>memory
    memory += lines(t.width * sizeof(double))
    own.room = <double*>memory
    if t.job == MOMENTS:
        own.raw = memory + t.block * sizeof(double)
        own.behind = <char*>own.raw + t.block * GDCORE_LANES * sizeof(double)
        own.packed = <char*>own.behind + lines((t.block * GDCORE_STRIPE + LANES) * item)
        p = t.d + t.y_columns
        return own.packed - start + (t.block + 1) * (p + GDCORE_STRIPE) // GDCORE_STRIPE * GDCORE_STRIPE * sizeof(double) + LINE
    memory += lines(4 * t.block * sizeof(double)) if t.loss == SOFTMAX else 0
    own.raw, own.behind, own.y, own.s = memory, memory + cell, memory + 2 * cell, memory + 3 * cell
    memory += 3 * cell + lines(t.block * item)
    own.rows, own.rows_behind = <void**>memory, <void**>(memory + lines(t.block * sizeof(void*)))
    own.soon = <void**>(memory + 2 * lines(t.block * sizeof(void*)))
    memory += 3 * lines(t.block * sizeof(void*))
    own.whole = <double*>memory
    memory += lines(t.block * t.k * sizeof(double)) if t.parted else 0
    own.packed = memory
    if t.turned:
        memory += lines(PANEL_STRIDE * t.d * item)
    elif t.columns:
        memory += 0 if t.x_row == <Py_ssize_t>item else lines(4 * t.block * item)
    elif not t.direct:
        own.packed_behind = memory + lines(t.block * t.d * item)
        memory += 2 * lines(t.block * t.d * item)
    return memory - start


cdef inline size_t lines(size_t bytes) noexcept nogil:
    return (bytes + LINE - 1) // LINE * LINE


cdef void locate(Pass* t, Scratch* own, Block* block, floating* tag) noexcept nogil:
    # own.rows: where the block's rows begin, stream after stream, in X or packed; own.soon: what to prefetch meanwhile.
    # Padding points to the last row.
    cdef Py_ssize_t row_bytes = t.d * <Py_ssize_t>sizeof(floating), stream, i, count, position, step = t.x_row
    cdef Py_ssize_t ahead = 0 if not t.direct else AHEAD if row_bytes >= AHEAD else (AHEAD // row_bytes + 1) * t.x_row
    cdef void **rows = own.rows
    cdef void **soon = own.soon
    cdef const char *source
    for stream in range(4):
        position = block.start + stream * block.span
        count = valid(block, stream)
        if t.direct and t.order != NULL:
            for i in range(count):
                rows[i] = <void*>(t.x + t.order[position + i] * t.x_row)
                soon[i] = <void*>(t.x + t.order[min(position + i + t.lookahead, t.last - 1)] * t.x_row)
        else:
            source = t.x + position * t.x_row
            if not t.direct:
                count = block.rows
                step = row_bytes
                source = own.packed + stream * count * step
            for i in range(count):
                rows[i] = <void*>(source + i * step)
                soon[i] = <void*>(source + i * step + ahead)
        for i in range(count, block.rows):
            rows[i] = soon[i] = <void*>(t.x + row_at(t, block.high - 1) * t.x_row)
        rows += block.rows
        soon += block.rows


cdef void pack(Pass* t, Scratch* own, Block* block, floating* tag) noexcept nogil:
    # The block's rows, stream after stream, side by side, eight columns at a time; padding is zeros.
    cdef Py_ssize_t stream, first, i, j, last, start
    cdef const char *source
    cdef floating *to
    own.packed, own.packed_behind = own.packed_behind, own.packed
    for first in range(0, t.d, 8):
        last = min(first + 8, t.d)
        to = <floating*>own.packed
        for stream in range(4):
            start = block.start + stream * block.span
            for i in range(block.rows):
                if i < valid(block, stream):
                    source = t.x + row_at(t, start + i) * t.x_row
                    for j in range(first, last):
                        to[j] = (<const floating*>(source + j * t.x_column))[0]
                else:
                    for j in range(first, last):
                        to[j] = 0
                to += t.d


cdef void stream_chunk(Pass* t, Scratch* own, Py_ssize_t low, Py_ssize_t high, Team* team, floating* tag) noexcept nogil:
    # Rows low … high of X, four streams at a time; see the note at the head of the file.
    cdef Py_ssize_t d = t.d, k = t.k, start = low, span, i, j, c, m, n, first, behind = 0
    cdef bint fused = t.job == GRADIENT and k == 1
    cdef double *g = own.sums + 2 + k
    cdef const floating *w = <floating*>t.w
    cdef floating *raw
    cdef floating out[4]
    cdef const floating **q
    cdef void **f
    cdef Block block
    block.streams, block.high = 4, high
    while start < high:
        span = min(t.span, (high - start + 3) // 4)
        first = 0
        while first < span:
            n = min(t.block // 4, span - first)
            m = 4 * n
            if abandoned(team, own, m * d * k):
                return
            block.start, block.rows, block.span = start + first, n, span
            if not t.direct:
                pack(t, own, &block, tag)
            locate(t, own, &block, tag)

            # forward   Ŷ = XW + b
            q = <const floating**>own.rows
            f = own.soon
            raw = <floating*>own.raw
            if fused:
                forward_backward(t, own, n, behind, g, tag)
            else:
                for i in range(n):
                    prefetch4(f[i], f[n + i], f[2 * n + i], f[3 * n + i], d * sizeof(floating))
                    for c in range(k):
                        dot4(q[i], q[n + i], q[2 * n + i], q[3 * n + i], w + c * d, d, out)
                        for j in range(4):
                            raw[c * m + j * n + i] = out[j]
            residuals(t, own, &block, tag)

            # backward  ∇W = Xᵀ·∂ℓ/∂Ŷ
            if fused:
                behind = n
                own.raw, own.behind = own.behind, own.raw
                own.rows, own.rows_behind = own.rows_behind, own.rows
            elif t.job == GRADIENT:
                backward(t, <const floating**>own.rows, raw, 0, n, g)
            first += n
        start += 4 * span
    if fused:
        backward(t, <const floating**>own.rows_behind, <const floating*>own.behind, 0, behind, g)


cdef inline void forward_backward(Pass* t, Scratch* own, Py_ssize_t n, Py_ssize_t behind, double* g,
                                  floating* tag) noexcept nogil:
    # forward of a block of 4 n rows, fused with backward of the block before it, of 4 `behind` rows; one output
    cdef const floating **q = <const floating**>own.rows
    cdef const floating **p = <const floating**>own.rows_behind
    cdef const floating **f = <const floating**>own.soon
    cdef const floating *w = <floating*>t.w
    cdef floating *r = <floating*>own.behind
    cdef floating *raw = <floating*>own.raw
    cdef Py_ssize_t i, j, b = behind
    cdef floating out[4]
    cdef floating along[4]
    for i in range(n):
        for j in range(4):
            along[j] = r[j * b + i] if i < b else 0
        if i < b:
            step4(q[i], q[n + i], q[2 * n + i], q[3 * n + i], p[i], p[b + i], p[2 * b + i], p[3 * b + i],
                  f[i], f[n + i], f[2 * n + i], f[3 * n + i], along, w, g, t.d, out)
        else:
            step4(q[i], q[n + i], q[2 * n + i], q[3 * n + i], q[i], q[n + i], q[2 * n + i], q[3 * n + i],
                  f[i], f[n + i], f[2 * n + i], f[3 * n + i], along, w, g, t.d, out)
        for j in range(4):
            raw[j * n + i] = out[j]
    backward(t, p, r, n, b, g)


cdef inline void backward(Pass* t, const floating** p, const floating* r, Py_ssize_t first, Py_ssize_t n,
                          double* g) noexcept nogil:
    # ∇W (k, d) += Xᵀ·∂ℓ/∂Ŷ for the rows first … n of each stream of a block of 4 n rows p, r (k, 4 n)
    cdef Py_ssize_t i, j, c
    cdef floating along[4]
    for i in range(first, n):
        for c in range(t.k):
            for j in range(4):
                along[j] = r[c * 4 * n + j * n + i]
            axpy4(p[i], p[n + i], p[2 * n + i], p[3 * n + i], along, g + c * t.d, t.d)


cdef inline void turn(Pass* t, Py_ssize_t start, floating* packed, Py_ssize_t count, Py_ssize_t m) noexcept nogil:
    # packed (d, PANEL_STRIDE) = the `count` rows from position `start` on, turned, and zeros up to m; four rows at a time,
    # so that four elements are stored at once.
    cdef Py_ssize_t i, j, c = t.x_column, whole = count // 4 * 4
    cdef Py_ssize_t ahead = (2 * AHEAD // t.x_row) * t.x_row if t.order == NULL and t.x_row > 0 else 0
    cdef const char *r0
    cdef const char *r1
    cdef const char *r2
    cdef const char *r3
    cdef floating *to
    for i in range(0, whole, 4):
        r0 = t.x + row_at(t, start + i) * t.x_row
        r1 = t.x + row_at(t, start + i + 1) * t.x_row
        r2 = t.x + row_at(t, start + i + 2) * t.x_row
        r3 = t.x + row_at(t, start + i + 3) * t.x_row
        if t.order == NULL:
            gdcore_prefetch(r0 + ahead)
            gdcore_prefetch(r1 + ahead)
            gdcore_prefetch(r2 + ahead)
            gdcore_prefetch(r3 + ahead)
        else:
            for j in range(4):
                gdcore_prefetch(t.x + t.order[min(start + i + j + t.lookahead, t.last - 1)] * t.x_row)
        to = packed + i
        for _ in range(t.d):
            to[0] = (<const floating*>r0)[0]
            to[1] = (<const floating*>r1)[0]
            to[2] = (<const floating*>r2)[0]
            to[3] = (<const floating*>r3)[0]
            to += PANEL_STRIDE
            r0 += c; r1 += c; r2 += c; r3 += c
    for i in range(whole, m):
        r0 = t.x + row_at(t, start + min(i, count - 1)) * t.x_row
        for j in range(t.d):
            packed[j * PANEL_STRIDE + i] = (<const floating*>(r0 + j * c))[0] if i < count else 0


cdef void turned_chunk(Pass* t, Scratch* own, Py_ssize_t low, Py_ssize_t high, Team* team, floating* tag) noexcept nogil:
    # Rows low … high of X, 128 at a time, turned: column j of the block is contiguous, vectors run along it. The last
    # block is padded to whole vectors with rows of weight 0.
    cdef Py_ssize_t d = t.d, k = t.k, item = sizeof(floating), count, m, i, j, c, stride
    cdef bint in_place = t.x_row == item and t.x_column % item == 0 and t.order == NULL
    cdef double *g = own.sums + 2 + k
    cdef const floating *w = <floating*>t.w
    cdef floating *raw
    cdef floating *packed = <floating*>own.packed
    cdef const floating *columns
    cdef const floating *x
    cdef floating v
    cdef Block block
    block.start, block.streams, block.span, block.high = low, 1, 0, high
    while block.start < high:
        count = min(high - block.start, <Py_ssize_t>PANEL)
        m = block.rows = (count + LANES - 1) // LANES * LANES
        if abandoned(team, own, m * d * k):
            return
        if in_place and m == count:
            columns = <const floating*>(t.x + block.start * t.x_row)
            stride = t.x_column // item
        else:
            columns = packed
            stride = PANEL_STRIDE
            turn(t, block.start, packed, count, m)

        # forward   Ŷ = XW + b
        for c in range(k):
            raw = <floating*>own.raw + c * m
            for i in range(m):
                raw[i] = 0
            for j in range(d):
                x = columns + j * stride
                v = w[c * d + j]
                for i in range(m):
                    raw[i] += v * x[i]
        residuals(t, own, &block, tag)

        # backward  ∇W = Xᵀ·∂ℓ/∂Ŷ
        if t.job == GRADIENT:
            for c in range(k):
                raw = <floating*>own.raw + c * m
                for j in range(d):
                    x = columns + j * stride
                    v = 0
                    for i in range(m):
                        v += raw[i] * x[i]
                    g[c * d + j] += v
        block.start += m


cdef void read_chunk(Pass* t, Py_ssize_t low, Py_ssize_t high, Scratch* own, Team* team,
                     floating* tag) noexcept nogil:
    # The sum of the contiguous elements low … high: what reading costs, the limit that every pass is held against.
    # One stream, 2 kB ahead, and four streams were both tried; the faster of the two stands here.
    cdef const floating *x = <const floating*>t.x
    cdef Py_ssize_t item = sizeof(floating), run = SPAN // item, start = low, i, j, stream, step = 2 * LINE // item
    cdef floating a
    cdef double b
    while start + 4 * run <= high:
        if abandoned(team, own, 4 * run):
            return
        b = 0
        i = start
        while i < start + run:
            for stream in range(4):
                gdcore_prefetch(<const char*>(x + i + stream * run) + AHEAD // 4)
                gdcore_prefetch(<const char*>(x + i + stream * run) + AHEAD // 4 + LINE)
            a = 0
            for j in range(i, i + step):
                a += x[j] + x[j + run] + x[j + 2 * run] + x[j + 3 * run]
            b += a
            i += step
        own.sums[0] += b
        start += 4 * run
    b = 0
    for i in range(start, high):
        b += x[i]
    own.sums[0] += b
