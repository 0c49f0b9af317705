# The functions of backends/reference.py, fused: each pass reads X from memory once.
#
# Design
# ------
# Where to start: `loss_gradient` at the end of the file (what Python calls), then `stream_chunk` (how rows are visited),
# then `residuals` (the loss and its derivative), then `step4` (the two inner products every epoch consists of).
#
# Fused. Ŷ = XW and ∇W = XᵀR each read all of X. NumPy runs them one after the other and reads X twice. Here a block of
# rows is still in the L1 cache when its residuals are known, and X comes from memory once. The limit is then the speed of
# memory (`read` measures it), not arithmetic; the figures below are shares of that limit, one thread, float64, AVX2.
#
# Four streams. Rows are visited four at a time, not neighbours but from four places `span` rows (128 KB) apart. A core
# follows several sequential streams faster than one, because each open page has a prefetcher of its own: neighbours
# reach 0.77 at d = 100, 0.64 at d = 250, 0.77 at d = 1000; four streams 0.98, 1.03, 1.05. Software prefetch 2 kB ahead
# is worth 10 % in this.
#
# One block behind. While the products x·w of one block stream in, the gradient of the block before it (cached) is summed
# in the same loop, so that memory never waits for arithmetic: 0.89 → 0.98 at d = 100, 0.75 → 0.86 at d = 25 against two
# loops in turn. With several outputs arithmetic is the limit, and two loops are as good.
#
# Across rows. A row no longer than one cache line is too short to fill vectors: such rows are turned in blocks of 128
# so that vectors run across rows (float32, d = 5: 0.37 → 0.50).
#
# Any layout, the same bits. Row-contiguous X is read in place, any other stride through a block-sized packing buffer that
# stays in cache; the arithmetic and its order are the same, so C, Fortran and strided X give bitwise equal results.
#
# Any number of threads, the same bits. Rows are cut into chunks by (n, d) alone; a thread takes the next free chunk and
# writes that chunk's partial sums; partial sums are added in the order of the chunks. Threads live as long as one call:
# creating one costs 20 µs, and there is nothing to deadlock in a forked child, no second pool beside OpenBLAS or OpenMP,
# and no spinning between calls.
#
# float32. Products, and sums within a block (at most 128 rows), are float32; sums over blocks are kept in float64.
from cpython.exc cimport PyErr_Occurred
from libc.math cimport isfinite, pow, rint, sqrt
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

import numpy as np

cdef extern from *:
    """
    #include <pthread.h>
    #include <time.h>
    #include <errno.h>
    #define gdcore_prefetch(address) __builtin_prefetch((const void*)(address))
    #if defined(__x86_64__)
      #define gdcore_cpu_has_avx2() (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
      #define gdcore_cpu_has_avx512() (gdcore_cpu_has_avx2() && __builtin_cpu_supports("avx512f") \\
          && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") \\
          && __builtin_cpu_supports("avx512vl"))
    #else
      #define gdcore_cpu_has_avx2() 0
      #define gdcore_cpu_has_avx512() 0
    #endif
    #if defined(__AVX512F__)
      #define GDCORE_VARIANT "avx512"
    #elif defined(__AVX2__)
      #define GDCORE_VARIANT "avx2"
    #else
      #define GDCORE_VARIANT "baseline"
    #endif
    """
    ctypedef struct pthread_t:
        pass
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    const char* GDCORE_VARIANT
    int ETIMEDOUT
    int CLOCK_MONOTONIC
    int CLOCK_REALTIME
    void gdcore_prefetch(const void* address) noexcept nogil
    int gdcore_cpu_has_avx2() noexcept nogil
    int gdcore_cpu_has_avx512() noexcept nogil
    int clock_gettime(int clock, timespec* t) noexcept nogil
    int pthread_create(pthread_t* thread, void* attributes, void* (*main)(void*) noexcept nogil, void* argument) noexcept nogil
    int pthread_join(pthread_t thread, void** result) noexcept nogil
    int pthread_mutex_init(pthread_mutex_t* mutex, void* attributes) noexcept nogil
    int pthread_mutex_destroy(pthread_mutex_t* mutex) noexcept nogil
    int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept nogil
    int pthread_mutex_unlock(pthread_mutex_t* mutex) noexcept nogil
    int pthread_cond_init(pthread_cond_t* condition, void* attributes) noexcept nogil
    int pthread_cond_destroy(pthread_cond_t* condition) noexcept nogil
    int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) noexcept nogil
    int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, timespec* until) noexcept nogil
    int pthread_cond_broadcast(pthread_cond_t* condition) noexcept nogil
    int PyErr_CheckSignals() noexcept

ctypedef fused floating:
    float
    double

cdef enum:
    LINE = 64               # bytes in a cache line
    PANEL = 128             # rows in a block turned on its side
    PANEL_STRIDE = 136      # its columns lie this far apart: off the powers of two, which share cache sets
    LANES = 16              # rows are padded to a multiple of this, a whole number of vectors
    TILE = 64               # columns between two rounds of prefetching
    AHEAD = 2048            # bytes that each of four streams is prefetched ahead; one stream alone: twice this
    SPAN = 1 << 17          # bytes between two streams
    BLOCK = 1 << 13         # bytes of rows whose residuals are made together
    WINDOW = 1 << 18        # bytes of rows packed together, or whole cache lines of each column if that is more
    MAX_CHUNKS = 64
    CHUNK_ROWS = 128        # at least this many rows a chunk: partial sums stay under 2 % of X
    CLOCK_WORK = 1 << 20    # multiply-adds between two looks at the clock
    SHARED_WORK = 1 << 18   # multiply-adds in a pass from which on a second thread pays

cdef enum Job:
    READ, PREDICT, LOSS, GRADIENT

cdef enum Outcome:
    FINISHED, CONVERGED, DIVERGED, INTERRUPTED


cdef struct Pass:
    # One pass over the rows: what to read, with which model, how it is cut, where the sums go.
    Job job
    bint wide                       # float64, not float32
    Py_ssize_t n, d, k
    const char* x                   # (n, d), strides in bytes
    Py_ssize_t x_row, x_column
    const char* y                   # (n, k)
    Py_ssize_t y_row, y_column
    const char* s                   # (n,) sample weights; NULL: all are 1
    Py_ssize_t s_row
    char* out                       # (n, k) predictions
    Py_ssize_t out_row, out_column
    void* w                         # (k, d) contiguous: the weights, transposed
    void* b                         # (k,): the bias, zeros where there is none
    bint turned                     # rows shorter than a cache line: vectors run across rows
    bint direct                     # X can be read in place
    Py_ssize_t span                 # rows between two streams
    Py_ssize_t block                # rows whose residuals are made together
    Py_ssize_t window               # rows of each stream that are packed together, where X cannot be read in place
    Py_ssize_t chunk_rows, chunks
    Py_ssize_t width                # doubles in a chunk's sums: loss, total weight, ∇b (k), ∇W (k, d)
    double* sums                    # (chunks, width)
    size_t scratch_bytes            # per thread


cdef struct Scratch:
    # A thread's own buffers, carved from one allocation, each on its own cache lines.
    double* sums                    # (width,): the sums of the chunk at work
    void* raw                       # (k, block): Ŷ, then ∂ℓ/∂Ŷ
    void* behind                    # (k, block): ∂ℓ/∂Ŷ of the block before
    void* y                         # (k, block): where the targets are copied to
    const void* targets             # (k, block): there, or Y itself
    void* s                         # (block,): sample weights, 0 for padding
    void** rows                     # (block,): where the block's rows begin
    void** rows_behind
    char* packed                    # one turned block, or where X cannot be read in place a window of packed rows
    char* packed_behind             # the window before it, for the block behind is still needed
    Py_ssize_t window               # rows of each stream in the window
    int number                      # the thread's: 0 is the calling thread
    Py_ssize_t unchecked            # multiply-adds since it last looked at the clock


cdef struct Block:
    # Rows whose residuals are made together: `streams` runs of `rows` neighbours, `span` apart. Those at `high` and above
    # are padding: their weight is 0.
    Py_ssize_t start, rows, streams, span, high


cdef struct Team:
    # The calling thread and its helpers, for the duration of one call.
    int size
    Pass* work
    char* scratch
    pthread_t* threads
    pthread_mutex_t mutex
    pthread_cond_t begin, end
    Py_ssize_t round                # passes begun so far
    Py_ssize_t next_chunk
    int busy                        # helpers at work
    bint quit, stop                 # stop: a signal came, leave the pass
    double checked                  # when signals were last looked for
    Py_ssize_t unchecked            # the calling thread's multiply-adds since then, carried from pass to pass


cdef struct Helper:
    Team* team
    int number


cdef inline double seconds() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return t.tv_sec + 1e-9 * t.tv_nsec


# ---------------------------------------------------------------------------------------------- inner products, four rows

cdef inline void prefetch4(const void* q0, const void* q1, const void* q2, const void* q3, Py_ssize_t ahead,
                           Py_ssize_t bytes) noexcept nogil:
    # Asks for the cache lines that begin in the `bytes` bytes `ahead` of each row: rows side by side ask for each once.
    cdef Py_ssize_t z
    for z in range(lines_begun(q0, ahead, bytes)):
        gdcore_prefetch(<const char*>q0 + ahead + z * LINE)
        gdcore_prefetch(<const char*>q1 + ahead + z * LINE)
        gdcore_prefetch(<const char*>q2 + ahead + z * LINE)
        gdcore_prefetch(<const char*>q3 + ahead + z * LINE)


cdef inline Py_ssize_t lines_begun(const void* q, Py_ssize_t ahead, Py_ssize_t bytes) noexcept nogil:
    cdef Py_ssize_t first = <Py_ssize_t>q + ahead - 1
    return (first + bytes) // LINE - first // LINE


cdef inline void dot4(const floating* q0, const floating* q1, const floating* q2, const floating* q3,
                      const floating* w, Py_ssize_t d, floating* out) noexcept nogil:
    # out (4,) = the four rows (d,) · w (d,)
    cdef floating a0 = 0, a1 = 0, a2 = 0, a3 = 0
    cdef Py_ssize_t j
    for j in range(d):
        a0 += q0[j] * w[j]
        a1 += q1[j] * w[j]
        a2 += q2[j] * w[j]
        a3 += q3[j] * w[j]
    out[0] = a0
    out[1] = a1
    out[2] = a2
    out[3] = a3


cdef inline void axpy4(const floating* p0, const floating* p1, const floating* p2, const floating* p3,
                       const floating* r, double* g, Py_ssize_t d) noexcept nogil:
    # g (d,) += Σ r (4,) · the four rows (d,)
    cdef floating r0 = r[0], r1 = r[1], r2 = r[2], r3 = r[3]
    cdef Py_ssize_t j
    for j in range(d):
        g[j] += <double>(r0 * p0[j] + r1 * p1[j] + r2 * p2[j] + r3 * p3[j])


cdef inline void step4(const floating* q0, const floating* q1, const floating* q2, const floating* q3,
                       const floating* p0, const floating* p1, const floating* p2, const floating* p3,
                       const floating* r, const floating* w, double* g, Py_ssize_t d, Py_ssize_t ahead,
                       floating* out) noexcept nogil:
    # dot4 of the rows q and axpy4 of the rows p, which came a block earlier, in one loop.
    cdef floating r0 = r[0], r1 = r[1], r2 = r[2], r3 = r[3]
    cdef floating a0, a1, a2, a3, b0 = 0, b1 = 0, b2 = 0, b3 = 0
    cdef Py_ssize_t j, m, z, left = d
    while left > 0:
        m = min(left, <Py_ssize_t>TILE)
        prefetch4(q0, q1, q2, q3, ahead, m * <Py_ssize_t>sizeof(floating))
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
        w += m
        g += m
        left -= m
    out[0] = b0
    out[1] = b1
    out[2] = b2
    out[3] = b3


# ------------------------------------------------------------------------------------------------------ loss and derivative

cdef inline Py_ssize_t valid(Block* block, Py_ssize_t stream) noexcept nogil:
    # How many of a stream's rows exist; the last stream can be short.
    return max(0, min(block.rows, block.high - block.start - stream * block.span))


cdef void targets(Pass* t, Scratch* own, Block* block, floating* tag) noexcept nogil:
    # y (k, m) and s (m,) of the block's rows, stream after stream; padding has y = 0 and s = 0.
    cdef floating *y
    cdef floating *s
    cdef const char *source
    cdef Py_ssize_t m = block.rows * block.streams, stream, c, i, count, row
    cdef bint in_place = block.streams == 1 and t.k == 1 and t.y_row == sizeof(floating) and valid(block, 0) == m
    own.targets = t.y + block.start * t.y_row if in_place else <char*>own.y
    for stream in range(block.streams):
        row = block.start + stream * block.span
        count = valid(block, stream)
        s = <floating*>own.s + stream * block.rows
        source = t.s + row * t.s_row
        for i in range(count):
            s[i] = 1 if t.s == NULL else (<const floating*>(source + i * t.s_row))[0]
        for i in range(count, block.rows):
            s[i] = 0
        for c in range(0 if in_place else t.k):
            y = <floating*>own.y + c * m + stream * block.rows
            source = t.y + row * t.y_row + c * t.y_column
            if t.y_row == sizeof(floating):
                memcpy(y, source, count * sizeof(floating))
            else:
                for i in range(count):
                    y[i] = (<const floating*>(source + i * t.y_row))[0]
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
    # raw (k, m) = XW becomes ∂ℓ/∂Ŷ (k, m); the loss, the total weight and ∇b are added to the sums.
    cdef Py_ssize_t m = block.rows * block.streams, q, c
    cdef floating *raw = <floating*>own.raw
    cdef const floating *y
    cdef const floating *s = <floating*>own.s
    cdef floating r, bias
    cdef floating loss, slope, total = 0
    if t.job == PREDICT:
        predictions(t, own, block, tag)
        return
    targets(t, own, block, tag)
    y = <const floating*>own.targets
    for q in range(m):
        total += s[q]
    for c in range(t.k):
        loss = slope = 0
        bias = (<floating*>t.b)[c]
        for q in range(m):
            # forward   ℓ = s·(ŷ − y)²,  ŷ = x·w + b
            r = raw[q] + bias - y[q]
            loss += s[q] * r * r
            # backward  ∂ℓ/∂ŷ = 2·s·(ŷ − y);  ∇b = Σ ∂ℓ/∂ŷ
            r = 2 * s[q] * r
            slope += r
            raw[q] = r
        own.sums[0] += loss
        own.sums[2 + c] += slope
        raw += m
        y += m
    own.sums[1] += total


# ----------------------------------------------------------------------------------------------------------- visiting rows

cdef size_t carve(Pass* t, Scratch* own, char* memory) noexcept nogil:
    # Lays the buffers out from `memory` on; the bytes they take.
    cdef size_t item = 8 if t.wide else 4, cell = lines(t.block * t.k * item)
    cdef char* start = memory
    own.sums = <double*>memory
    memory += lines(t.width * sizeof(double))
    own.raw, own.behind, own.y, own.s = memory, memory + cell, memory + 2 * cell, memory + 3 * cell
    memory += 3 * cell + lines(t.block * item)
    own.rows, own.rows_behind = <void**>memory, <void**>(memory + lines(t.block * sizeof(void*)))
    memory += 2 * lines(t.block * sizeof(void*))
    own.packed = memory
    if t.turned:
        memory += lines(PANEL_STRIDE * t.d * item)
    elif not t.direct:
        own.packed_behind = memory + lines(4 * t.window * t.d * item)
        memory += 2 * lines(4 * t.window * t.d * item)
    return memory - start


cdef inline size_t lines(size_t bytes) noexcept nogil:
    return (bytes + LINE - 1) // LINE * LINE


cdef void locate(Pass* t, Scratch* own, Block* block, Py_ssize_t in_window, floating* tag) noexcept nogil:
    # own.rows: where the block's rows begin, stream after stream, in X or in the packed window that they start
    # `in_window` rows into. Padding points to the last row of all.
    cdef Py_ssize_t stream, i, count, step = t.x_row
    cdef void **rows = own.rows
    cdef const char *source
    for stream in range(4):
        if t.direct:
            count = valid(block, stream)
            source = t.x + (block.start + stream * block.span) * t.x_row
        else:
            count = block.rows
            step = t.d * <Py_ssize_t>sizeof(floating)
            source = own.packed + (stream * own.window + in_window) * step
        for i in range(count):
            rows[i] = <void*>(source + i * step)
        for i in range(count, block.rows):
            rows[i] = <void*>(t.x + (block.high - 1) * t.x_row)
        rows += block.rows


cdef void pack(Pass* t, Scratch* own, Py_ssize_t start, Py_ssize_t rows, Py_ssize_t span, Py_ssize_t high,
               floating* tag) noexcept nogil:
    # The window: `rows` rows of each stream from `start` on, side by side; padding is zeros. Eight columns at a time are
    # read along the column and written along the row, while those of the next stream are asked for.
    cdef Py_ssize_t stream, first, i, j, columns, count, c = t.x_column, next_
    cdef Py_ssize_t per_line = LINE // <Py_ssize_t>sizeof(floating)
    cdef const char *source
    cdef floating *to
    own.packed, own.packed_behind = own.packed_behind, own.packed
    own.window = rows
    for first in range(0, t.d, 8):
        columns = min(8, t.d - first)
        for stream in range(4):
            count = max(0, min(rows, high - start - stream * span))
            source = t.x + (start + stream * span) * t.x_row + first * c
            next_ = span * t.x_row if stream < 3 else 8 * c - 3 * span * t.x_row
            to = <floating*>own.packed + stream * rows * t.d + first
            for i in range(count):
                if i % per_line == 0:
                    for j in range(8):
                        gdcore_prefetch(source + next_ + j * c)
                if columns == 8:
                    to[0] = (<const floating*>source)[0]
                    to[1] = (<const floating*>(source + c))[0]
                    to[2] = (<const floating*>(source + 2 * c))[0]
                    to[3] = (<const floating*>(source + 3 * c))[0]
                    to[4] = (<const floating*>(source + 4 * c))[0]
                    to[5] = (<const floating*>(source + 5 * c))[0]
                    to[6] = (<const floating*>(source + 6 * c))[0]
                    to[7] = (<const floating*>(source + 7 * c))[0]
                else:
                    for j in range(columns):
                        to[j] = (<const floating*>(source + j * c))[0]
                source += t.x_row
                to += t.d
            for i in range(count, rows):
                for j in range(columns):
                    to[j] = 0
                to += t.d


cdef void stream_chunk(Pass* t, Scratch* own, Py_ssize_t low, Py_ssize_t high, Team* team, floating* tag) noexcept nogil:
    # Rows low … high of X, four streams at a time; see the note at the head of the file.
    cdef Py_ssize_t d = t.d, k = t.k, start = low, span, i, j, c, m, n, first, behind = 0, window, packed_from = 0
    cdef Py_ssize_t row_bytes = d * <Py_ssize_t>sizeof(floating)
    cdef Py_ssize_t ahead = 0 if not t.direct else AHEAD if row_bytes >= AHEAD else (AHEAD // row_bytes + 1) * t.x_row
    cdef bint fused = t.job == GRADIENT and k == 1
    cdef double *g = own.sums + 2 + k
    cdef const floating *w = <floating*>t.w
    cdef floating *raw
    cdef floating out[4]
    cdef const floating **q
    cdef Block block
    block.streams, block.high = 4, high
    while start < high:
        span = min(t.span, (high - start + 3) // 4)
        first = window = 0
        while first < span:
            n = min(t.block // 4, span - first)
            m = 4 * n
            if abandoned(team, own, m * d * k):
                return
            block.start, block.rows, block.span = start + first, n, span
            if not t.direct and first == window:
                packed_from = first
                window = min(first + t.window, span)
                pack(t, own, start + first, window - first, span, high, tag)
            locate(t, own, &block, first - packed_from, tag)

            # forward   Ŷ = XW + b
            q = <const floating**>own.rows
            raw = <floating*>own.raw
            if fused:
                forward_backward(t, own, n, behind, ahead, g, tag)
            else:
                for i in range(n):
                    prefetch4(q[i], q[n + i], q[2 * n + i], q[3 * n + i], ahead, row_bytes)
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


cdef inline void forward_backward(Pass* t, Scratch* own, Py_ssize_t n, Py_ssize_t behind, Py_ssize_t ahead, double* g,
                                  floating* tag) noexcept nogil:
    # forward of a block of 4 n rows, fused with backward of the block before it, of 4 `behind` rows; one output
    cdef const floating **q = <const floating**>own.rows
    cdef const floating **p = <const floating**>own.rows_behind
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
                  along, w, g, t.d, ahead, out)
        else:
            step4(q[i], q[n + i], q[2 * n + i], q[3 * n + i], q[i], q[n + i], q[2 * n + i], q[3 * n + i],
                  along, w, g, t.d, ahead, out)
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


cdef inline void turn(Pass* t, const char* row, floating* packed, Py_ssize_t count, Py_ssize_t m,
                      Py_ssize_t ahead) noexcept nogil:
    # packed (d, PANEL_STRIDE) = the `count` rows from `row` on, turned, and zeros up to m; four rows at a time, so that
    # four elements are stored at once.
    cdef Py_ssize_t i, j, whole = count // 4 * 4
    cdef const char *r0
    cdef floating *to
    for i in range(0, whole, 4):
        gdcore_prefetch(row + ahead)
        gdcore_prefetch(row + ahead + t.x_row)
        gdcore_prefetch(row + ahead + 2 * t.x_row)
        gdcore_prefetch(row + ahead + 3 * t.x_row)
        r0 = row
        to = packed + i
        for j in range(t.d):
            to[0] = (<const floating*>r0)[0]
            to[1] = (<const floating*>(r0 + t.x_row))[0]
            to[2] = (<const floating*>(r0 + 2 * t.x_row))[0]
            to[3] = (<const floating*>(r0 + 3 * t.x_row))[0]
            to += PANEL_STRIDE
            r0 += t.x_column
        row += 4 * t.x_row
    for i in range(whole, m):
        for j in range(t.d):
            packed[j * PANEL_STRIDE + i] = (<const floating*>(row + j * t.x_column))[0] if i < count else 0
        row += t.x_row


cdef void turned_chunk(Pass* t, Scratch* own, Py_ssize_t low, Py_ssize_t high, Team* team, floating* tag) noexcept nogil:
    # Rows low … high of X, 128 at a time, turned: column j of the block is contiguous, vectors run along it. The last
    # block is padded to whole vectors with rows of weight 0.
    cdef Py_ssize_t d = t.d, k = t.k, item = sizeof(floating), count, m, i, j, c, stride
    cdef Py_ssize_t ahead = (2 * AHEAD // t.x_row) * t.x_row if t.x_row > 0 else 0
    cdef bint in_place = t.x_row == item and t.x_column % item == 0
    cdef double *g = own.sums + 2 + k
    cdef const floating *w = <floating*>t.w
    cdef floating *raw
    cdef floating *packed = <floating*>own.packed
    cdef const floating *columns
    cdef const floating *x
    cdef const char *row
    cdef floating v
    cdef Block block
    block.start, block.streams, block.span, block.high = low, 1, 0, high
    while block.start < high:
        count = min(high - block.start, <Py_ssize_t>PANEL)
        m = block.rows = (count + LANES - 1) // LANES * LANES
        if abandoned(team, own, m * d * k):
            return
        row = t.x + block.start * t.x_row
        if in_place and m == count:
            columns = <const floating*>row
            stride = t.x_column // item
        else:
            columns = packed
            stride = PANEL_STRIDE
            turn(t, row, packed, count, m, ahead)

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
    cdef floating a, b
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


# ------------------------------------------------------------------------------------------------- chunks, threads, signals

cdef int signalled() noexcept with gil:
    return PyErr_CheckSignals() != 0


cdef inline bint abandoned(Team* team, Scratch* own, Py_ssize_t work) noexcept nogil:
    # True when the pass is to be left. The calling thread looks for signals (Ctrl-C) every 50 ms; it looks at the clock
    # once in CLOCK_WORK multiply-adds, which costs nothing.
    own.unchecked += work
    if own.unchecked > CLOCK_WORK:
        own.unchecked = 0
        look_for_signals(team, own.number)
    return team.stop


cdef void look_for_signals(Team* team, int number) noexcept nogil:
    if number == 0 and not team.stop and seconds() - team.checked > 0.05:
        if signalled():
            team.stop = True
        team.checked = seconds()


cdef void cut(Pass* t) noexcept nogil:
    # How the rows are cut: by the shape and the dtype alone, so that the sums do not depend on the threads.
    cdef Py_ssize_t item = 8 if t.wide else 4, unit
    cdef Scratch own
    t.turned = t.d * item <= LINE
    t.direct = t.x_column == item or t.d == 1
    t.span = max(1, SPAN // (t.d * item))
    t.block = PANEL if t.turned else 4 * max(1, min(32, BLOCK // (4 * t.d * item)))
    t.window = t.block // 4 * max(1, max(LINE // item, WINDOW // (4 * t.d * item)) // (t.block // 4))
    unit = PANEL if t.turned else 4 * t.span
    t.chunks = max(1, min(<Py_ssize_t>MAX_CHUNKS, min(t.n // unit, t.n // CHUNK_ROWS)))
    t.chunk_rows = ((t.n + t.chunks - 1) // t.chunks + unit - 1) // unit * unit
    t.chunks = (t.n + t.chunk_rows - 1) // t.chunk_rows
    t.width = 1 if t.job == READ else 2 + t.k + (t.k * t.d if t.job == GRADIENT else 0)
    t.scratch_bytes = carve(t, &own, NULL)


cdef void do_chunks(Team* team, int number) noexcept nogil:
    cdef Pass* t = team.work
    cdef Py_ssize_t chunk, low, high
    cdef Scratch own
    carve(t, &own, team.scratch + number * t.scratch_bytes)
    own.number = number
    own.unchecked = 0 if number else team.unchecked
    while True:
        if team.size > 1:
            pthread_mutex_lock(&team.mutex)
        chunk = team.next_chunk
        team.next_chunk += 1
        if team.size > 1:
            pthread_mutex_unlock(&team.mutex)
        if chunk >= t.chunks or team.stop:
            break
        low = chunk * t.chunk_rows
        high = min(low + t.chunk_rows, t.n)
        memset(own.sums, 0, t.width * sizeof(double))
        if t.job == READ:
            if t.wide:
                read_chunk[double](t, low, high, &own, team, NULL)
            else:
                read_chunk[float](t, low, high, &own, team, NULL)
        elif t.turned:
            if t.wide:
                turned_chunk[double](t, &own, low, high, team, NULL)
            else:
                turned_chunk[float](t, &own, low, high, team, NULL)
        elif t.wide:
            stream_chunk[double](t, &own, low, high, team, NULL)
        else:
            stream_chunk[float](t, &own, low, high, team, NULL)
        memcpy(t.sums + chunk * t.width, own.sums, t.width * sizeof(double))
    if number == 0:
        team.unchecked = own.unchecked


cdef void* helper_main(void* argument) noexcept nogil:
    cdef Team* team = (<Helper*>argument).team
    cdef Py_ssize_t seen = 0
    while True:
        pthread_mutex_lock(&team.mutex)
        while team.round == seen and not team.quit:
            pthread_cond_wait(&team.begin, &team.mutex)
        seen = team.round
        pthread_mutex_unlock(&team.mutex)
        if team.quit:
            return NULL
        do_chunks(team, (<Helper*>argument).number)
        pthread_mutex_lock(&team.mutex)
        team.busy -= 1
        if team.busy == 0:
            pthread_cond_broadcast(&team.end)
        pthread_mutex_unlock(&team.mutex)


cdef int run_pass(Team* team) noexcept nogil:
    # One pass by the whole team; its sums are then in team.work.sums[0]. FINISHED or INTERRUPTED.
    cdef Pass* t = team.work
    cdef Py_ssize_t chunk, j
    cdef double* sums
    cdef timespec until
    team.next_chunk = 0
    if team.size == 1:
        do_chunks(team, 0)
    else:
        pthread_mutex_lock(&team.mutex)
        team.busy = team.size - 1
        team.round += 1
        pthread_cond_broadcast(&team.begin)
        pthread_mutex_unlock(&team.mutex)
        do_chunks(team, 0)
        pthread_mutex_lock(&team.mutex)
        while team.busy > 0:
            clock_gettime(CLOCK_REALTIME, &until)
            until.tv_nsec += 50000000
            if until.tv_nsec >= 1000000000:
                until.tv_nsec -= 1000000000
                until.tv_sec += 1
            if pthread_cond_timedwait(&team.end, &team.mutex, &until) == ETIMEDOUT:
                pthread_mutex_unlock(&team.mutex)
                look_for_signals(team, 0)
                pthread_mutex_lock(&team.mutex)
        pthread_mutex_unlock(&team.mutex)
    if team.stop:
        return INTERRUPTED
    for chunk in range(1, t.chunks):
        sums = t.sums + chunk * t.width
        for j in range(t.width):
            t.sums[j] += sums[j]
    return FINISHED


cdef class Crew:
    # A team's memory and threads, released when the call that made it ends, however it ends.
    cdef Team team
    cdef Pass work
    cdef Helper* helpers
    cdef int started
    cdef char* memory
    cdef object held                # keeps the arrays that `work` points into alive

    def __cinit__(self):
        memset(&self.team, 0, sizeof(Team))
        memset(&self.work, 0, sizeof(Pass))
        self.helpers = NULL
        self.memory = NULL
        self.started = 0

    cdef int start(self, int n_threads) except -1:
        cdef Pass* t = &self.work
        cdef Team* team = &self.team
        cdef int i
        if n_threads < 1:
            raise ValueError(f"n_threads must be at least 1, found {n_threads}")
        cut(t)
        team.work = t
        team.size = <int>min(<Py_ssize_t>n_threads, t.chunks)
        if t.n * t.d * max(t.k, 1) < SHARED_WORK:
            team.size = 1
        t.sums = <double*>malloc(t.chunks * t.width * sizeof(double))
        self.memory = <char*>malloc(team.size * t.scratch_bytes + LINE)
        team.threads = <pthread_t*>malloc(team.size * sizeof(pthread_t))
        self.helpers = <Helper*>malloc(team.size * sizeof(Helper))
        if t.sums == NULL or self.memory == NULL or team.threads == NULL or self.helpers == NULL:
            raise MemoryError(f"no memory for a pass over {t.n} rows of {t.d} columns with {team.size} threads")
        team.scratch = <char*>(lines(<size_t>self.memory))
        team.checked = seconds()
        if team.size > 1:
            pthread_mutex_init(&team.mutex, NULL)
            pthread_cond_init(&team.begin, NULL)
            pthread_cond_init(&team.end, NULL)
            self.started = 1
            for i in range(1, team.size):
                self.helpers[i].team = team
                self.helpers[i].number = i
                if pthread_create(&team.threads[i], NULL, helper_main, &self.helpers[i]) != 0:
                    break           # fewer threads: the same result, later
                self.started = i + 1
            team.size = self.started
        return 0

    def __dealloc__(self):
        cdef int i
        if self.started:
            pthread_mutex_lock(&self.team.mutex)
            self.team.quit = True
            pthread_cond_broadcast(&self.team.begin)
            pthread_mutex_unlock(&self.team.mutex)
            for i in range(1, self.started):
                pthread_join(self.team.threads[i], NULL)
            pthread_mutex_destroy(&self.team.mutex)
            pthread_cond_destroy(&self.team.begin)
            pthread_cond_destroy(&self.team.end)
        free(self.work.sums)
        free(self.memory)
        free(self.team.threads)
        free(self.helpers)


# ------------------------------------------------------------------------------------------------------- what Python calls

cdef Crew recruit(Job job, const floating[:, :] X, const floating[:, :] Y, const floating[:] sample_weight,
                  floating[:, ::1] w, floating[::1] b, floating[:, :] out, int n_threads):
    # A crew for passes over X with the transposed weights w (k, d) and the bias b (k,).
    cdef Crew crew = Crew()
    cdef Pass* t = &crew.work
    t.job = job
    t.wide = sizeof(floating) == 8
    t.n, t.d, t.k = X.shape[0], X.shape[1], w.shape[0]
    t.x, t.x_row, t.x_column = <const char*>&X[0, 0], X.strides[0], X.strides[1]
    t.w, t.b = &w[0, 0], &b[0]
    if Y is not None:
        t.y, t.y_row, t.y_column = <const char*>&Y[0, 0], Y.strides[0], Y.strides[1]
    if sample_weight is not None:
        t.s, t.s_row = <const char*>&sample_weight[0], sample_weight.strides[0]
    if out is not None:
        t.out, t.out_row, t.out_column = <char*>&out[0, 0], out.strides[0], out.strides[1]
    crew.held = (X, Y, sample_weight, w, b, out)
    crew.start(n_threads)
    return crew


cdef int raise_signal() except -1:
    # The exception that a signal handler raised, KeyboardInterrupt as a rule.
    return -1 if PyErr_Occurred() else 0


cdef floating[:, ::1] transposed(const floating[:, :] weights):
    return np.array(weights.T, order="C")


cdef floating[::1] bias_or_zeros(bias, const floating[:, :] weights):
    return np.zeros(weights.shape[1], "f4" if sizeof(floating) == 4 else "f8") if bias is None else np.array(bias)


cdef _predict(const floating[:, :] X, const floating[:, :] weights, bias, floating[:, :] out, int n_threads):
    cdef Crew crew = recruit[floating](PREDICT, X, None, None, transposed[floating](weights),
                                       bias_or_zeros[floating](bias, weights), out, n_threads)
    cdef int outcome
    with nogil:
        outcome = run_pass(&crew.team)
    if outcome == INTERRUPTED:
        raise_signal()


cdef _pass(Job job, const floating[:, :] X, const floating[:, :] Y, const floating[:, :] weights, bias,
           const floating[:] sample_weight, int n_threads):
    cdef floating[:, ::1] w = transposed[floating](weights)
    cdef Crew crew = recruit[floating](job, X, Y, sample_weight, w, bias_or_zeros[floating](bias, weights), None, n_threads)
    cdef Pass* t = &crew.work
    cdef int outcome
    with nogil:
        outcome = run_pass(&crew.team)
    if outcome == INTERRUPTED:
        raise_signal()
    if job == LOSS:
        return t.sums[0] / t.sums[1]
    gradient = np.empty((t.d, t.k), "f4" if sizeof(floating) == 4 else "f8")
    bias_gradient = None if bias is None else np.empty(t.k, gradient.dtype)
    take_gradient[floating](t, gradient, bias_gradient)
    return t.sums[0] / t.sums[1], gradient, bias_gradient


cdef int take_gradient(Pass* t, floating[:, ::1] gradient, floating[::1] bias_gradient) except -1:
    cdef Py_ssize_t j, c
    for c in range(t.k):
        if bias_gradient is not None:
            bias_gradient[c] = <floating>(t.sums[2 + c] / t.sums[1])
        for j in range(t.d):
            gradient[j, c] = <floating>(t.sums[2 + t.k + c * t.d + j] / t.sums[1])
    return 0


cdef struct Rounding:
    # np.round(value, decimals): half to even, of value·scale (of value / scale for negative decimals).
    bint wanted, divide
    double scale


cdef Rounding rounding(decimals):
    cdef Rounding r
    r.wanted = decimals is not None
    r.divide = r.wanted and decimals < 0
    r.scale = pow(10.0, abs(decimals)) if r.wanted else 1.0
    return r


cdef inline floating rounded(floating value, Rounding r) noexcept nogil:
    cdef floating scale = <floating>r.scale
    if not r.wanted:
        return value
    return <floating>rint(value / scale) * scale if r.divide else <floating>rint(value * scale) / scale


cdef inline floating stepped(floating weight, floating gradient, double lr, Rounding r) noexcept nogil:
    # W ← W − lr·∇W, gradient and result rounded where the textbook rounds them
    return rounded(<floating>(weight - lr * rounded(gradient, r)), r)


cdef _update(floating[:] weights, const floating[:] gradient, double lr, decimals):
    cdef Rounding r = rounding(decimals)
    cdef Py_ssize_t j
    for j in range(weights.shape[0]):
        weights[j] = stepped(weights[j], gradient[j], lr, r)


cdef _descend(const floating[:, :] X, const floating[:, :] Y, floating[:, ::1] weights, bias,
              const floating[:] sample_weight, floating[:, ::1] gradient, bias_gradient,
              double lr, Py_ssize_t epochs, double tol, decimals, double[:, ::1] history, Py_ssize_t[::1] done, int n_threads):
    cdef floating[:, ::1] w = transposed[floating](weights)
    cdef floating[:, ::1] g = transposed[floating](gradient)
    cdef floating[::1] b = bias_or_zeros[floating](bias, weights)
    cdef floating[::1] gb = bias_or_zeros[floating](bias_gradient, weights)
    cdef floating[:, ::1] w_before = np.empty_like(w)
    cdef floating[::1] b_before = np.empty_like(b)
    cdef floating[::1] result
    cdef Crew crew = recruit[floating](GRADIENT, X, Y, sample_weight, w, b, None, n_threads)
    cdef Pass* t = &crew.work
    cdef Py_ssize_t size = t.k * t.d, k = t.k, j, c, epoch, first = done[0]
    cdef Rounding r = rounding(decimals)
    cdef bint has_bias = bias is not None
    cdef int outcome = FINISHED
    cdef double loss, norm, total, now, then = seconds()
    with nogil:
        for epoch in range(first, first + epochs):
            memcpy(&w_before[0, 0], &w[0, 0], size * sizeof(floating))
            memcpy(&b_before[0], &b[0], k * sizeof(floating))
            for j in range(size):
                (&w[0, 0])[j] = stepped((&w[0, 0])[j], (&g[0, 0])[j], lr, r)
            if has_bias:
                for c in range(k):
                    b[c] = stepped(b[c], gb[c], lr, r)
            outcome = run_pass(&crew.team)
            if outcome == FINISHED:
                total = t.sums[1]
                loss = t.sums[0] / total
                norm = 0
                for j in range(k + size):
                    t.sums[2 + j] /= total
                for j in range(0 if has_bias else k, k + size):
                    norm += t.sums[2 + j] * t.sums[2 + j]
                norm = sqrt(norm)
                if not (isfinite(loss) and isfinite(norm)):
                    outcome = DIVERGED
            if outcome != FINISHED:
                # Whole epochs only: leave the weights as the last one left them, which g and gb still belong to.
                memcpy(&w[0, 0], &w_before[0, 0], size * sizeof(floating))
                memcpy(&b[0], &b_before[0], k * sizeof(floating))
                break
            for c in range(k):
                gb[c] = <floating>t.sums[2 + c]
            for j in range(size):
                (&g[0, 0])[j] = <floating>t.sums[2 + k + j]
            now = seconds()
            history[0, epoch] = loss
            history[1, epoch] = norm
            history[2, epoch] = now - then
            then = now
            done[0] = epoch + 1
            if norm <= tol:
                outcome = CONVERGED
                break
    transpose_into[floating](w, weights)
    transpose_into[floating](g, gradient)
    if has_bias:
        result = bias
        result[:] = b
        result = bias_gradient
        result[:] = gb
    if outcome == INTERRUPTED:
        raise_signal()
    return outcome


cdef int transpose_into(const floating[:, ::1] source, floating[:, ::1] target) except -1:
    cdef Py_ssize_t j, c
    for c in range(source.shape[0]):
        for j in range(source.shape[1]):
            target[j, c] = source[c, j]
    return 0


cdef _read(const floating[:] elements, int n_threads):
    cdef Crew crew = Crew()
    cdef Pass* t = &crew.work
    t.job = READ
    t.wide = sizeof(floating) == 8
    t.n, t.d, t.k = elements.shape[0], 1, 1
    t.x, t.x_row, t.x_column = <const char*>&elements[0], elements.strides[0], elements.strides[0]
    crew.held = elements
    crew.start(n_threads)
    cdef int outcome
    with nogil:
        outcome = run_pass(&crew.team)
    if outcome == INTERRUPTED:
        raise_signal()
    return t.sums[0]


def variant():
    """The instruction set this module was compiled for: "avx512", "avx2" or "baseline"."""
    return GDCORE_VARIANT.decode()


def supported():
    """The variants that this CPU can run, best first."""
    return (["avx512"] if gdcore_cpu_has_avx512() else []) + (["avx2"] if gdcore_cpu_has_avx2() else []) + ["baseline"]


def read(X, n_threads=1):
    if X.dtype == "f8":
        return _read[double](X.ravel(order="K"), n_threads)
    return _read[float](X.ravel(order="K"), n_threads)


def predict(X, weights, bias, out, n_threads=1):
    if X.dtype == "f8":
        _predict[double](X, weights, bias, out, n_threads)
    else:
        _predict[float](X, weights, bias, out, n_threads)


def loss(X, Y, weights, bias, sample_weight=None, n_threads=1):
    if X.dtype == "f8":
        return _pass[double](LOSS, X, Y, weights, bias, sample_weight, n_threads)
    return _pass[float](LOSS, X, Y, weights, bias, sample_weight, n_threads)


def gradient(X, Y, weights, bias, sample_weight=None, n_threads=1):
    return loss_gradient(X, Y, weights, bias, sample_weight, n_threads)[1:]


def loss_gradient(X, Y, weights, bias, sample_weight=None, n_threads=1):
    if X.dtype == "f8":
        return _pass[double](GRADIENT, X, Y, weights, bias, sample_weight, n_threads)
    return _pass[float](GRADIENT, X, Y, weights, bias, sample_weight, n_threads)


def update(weights, gradient, lr, decimals=None):
    if weights.dtype == "f8":
        _update[double](weights.ravel(), gradient.ravel(), lr, decimals)
    else:
        _update[float](weights.ravel(), gradient.ravel(), lr, decimals)


def descend(X, Y, weights, bias, gradient, bias_gradient, lr, epochs, history, done, sample_weight=None, tol=-1.0,
            decimals=None, n_threads=1):
    if X.dtype == "f8":
        outcome = _descend[double](X, Y, weights, bias, sample_weight, gradient, bias_gradient, lr, epochs, tol, decimals,
                                   history, done, n_threads)
    else:
        outcome = _descend[float](X, Y, weights, bias, sample_weight, gradient, bias_gradient, lr, epochs, tol, decimals,
                                  history, done, n_threads)
    return "converged" if outcome == CONVERGED else "diverged" if outcome == DIVERGED else "epochs"
