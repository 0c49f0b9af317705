# The functions of backends/reference.py, fused: each pass reads X from memory once.
#
# Design
# ------
# Where to start: `loss_gradient` and `_descend` at the end of this file (what Python calls), then
# losses.pxi (each loss, forward and backward) and optimizers.pxi (how weights follow), then visits.pxi (`stream_chunk`:
# how rows are visited), products.pxi (`step4`: the two inner products every epoch consists of), columns.pxi (the same by
# columns), batches.pxi (small steps) and team.pxi (chunks, threads, Ctrl-C).
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
# Rows or columns. The strides decide how X is visited, never a copy. Where the numbers of a column are nearer to each
# other than those of a row (Fortran order, frames), a block of 256 rows is visited column by column (columns.pxi), and
# while one block is at work half of the next is asked for in each direction, to the L2 cache: 2.1, 1.7, 1.7, 1.6, 1.2
# times NumPy's two passes at d = 10, 50, 100, 250, 1000 (200 MB, AVX-512, processor time of one thread); blocks of 128
# rows 1.9, 1.5, 1.6, 1.5, 1.1; of 512 2.1, 1.6, 1.6, 1.3, 1.1, without asking 1.5, 1.2, 1.2, 1.2, 1.0, asked for to the L1
# cache 1.3, 1.0, 1.1, 1.0, 0.9; rows packed first, as before, 0.9, 0.7, 0.6, 0.8, 0.7. Rows whose numbers are apart go through
# a block-sized buffer: the arithmetic and its order are the same, so what goes by rows has the bits of a copy in C order,
# what goes by columns those of a copy in Fortran order. The two agree to rounding.
#
# Small steps. Batches of up to 64 rows (16 where long rows come in order) have a loop of their own (batches.pxi) on the
# calling thread. Nanoseconds a row, by passes → by that loop, same run, processor time: d = 10, batches of 1 in order 127
# → 28, shuffled 245 → 38; of 8 20 → 10 and 71 → 41; of 32 18 → 7 and 41 → 34; d = 100, batches of 1 244 → 64 and 408 →
# 165, where a plain loop in C took 14 at d = 10 and 41 at d = 100 in order. Of 32 rows of 100 columns in order a pass
# takes 79, that loop 102.
#
# Second moments. Arithmetic is the limit, n·d²/2 multiply-adds (moments.pxi, vectors.h). A panel of 128 rows is packed in
# float64, less the shift, into stripes of three vectors' columns; of every tile, 8 × 24 numbers with AVX-512, all sums are in
# registers while a row after the other adds its outer product. On packed rows tiles reach 0.63, 0.80, 0.87, 0.87, 0.67 of one
# core's multiply-adds at d = 50, 100, 250, 1000, 2000 (panels of 256 rows 0.64, 0.79, 0.87, 0.82, 0.76, hence taken past 1,024
# columns). With the packing, rows from memory, on a machine that others used as well: 0.35, 0.53, 0.67, 0.57, 0.57, where
# eight inner products at a time, as before, reached 0.20, 0.30, 0.35, 0.30, 0.27 in the same run; by columns 0.26, 0.42, 0.59,
# 0.51, 0.55. The next panel is asked for between the tiles: without, 0.23, 0.41 at d = 50, 100. A chunk's d² sums are added as
# soon as it is its turn, so that each thread keeps one such table, not every chunk.
#
# Any number of threads, the same bits. Rows are cut into chunks by d, k, the dtype and the order of visiting alone; a thread
# takes the next free chunk and writes that chunk's partial sums; partial sums are added in the order of the chunks. Sums may be
# re-associated by the compiler, in each copy of a loop in its own way: what must have the same bits is compiled once. Threads
# live as long as one call: creating one costs 20 µs, and there is nothing to deadlock in a forked child, no second pool
# beside OpenBLAS or OpenMP, and no spinning between calls.
#
# float32. Products, and sums within a block (at most 256 rows, or 1,024 columns of one row), are float32; sums over blocks
# and over longer rows are kept in float64.
#
# Nothing outside. What Python hands over is memory of some shape and strides, taken once a call; the shapes are compared
# with each other (`fits`) before a pointer is used. Numbers that are indices are looked at where they are read, for the
# arrays that hold them may change at any time: a class that is none gives a loss of NaN, an order that leaves the rows is
# refused (before every epoch, and in small steps where each of its numbers is read).
from cpython.exc cimport PyErr_Occurred
from libc.math cimport INFINITY, NAN, fabs, isfinite, log, pow, rint, sqrt
from libc.stdlib cimport free, llabs, malloc
from libc.string cimport memcpy, memset

import numpy as np

cdef extern from *:
    """
    #include <pthread.h>
    #include <time.h>
    #include <errno.h>
    #define gdcore_prefetch(address) __builtin_prefetch((const void*)(address))
    #define gdcore_prefetch_later(address) __builtin_prefetch((const void*)(address), 0, 2)   /* to the L2 cache */
    #if defined(__x86_64__)
      #define gdcore_cpu_has_avx2() (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
      #define gdcore_cpu_has_avx512() (gdcore_cpu_has_avx2() && __builtin_cpu_supports("avx512f") \\
          && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") \\
          && __builtin_cpu_supports("avx512vl"))
    #else
      #define gdcore_cpu_has_avx2() 0
      #define gdcore_cpu_has_avx512() 0
    #endif
    /* Flags that one thread raises and others look at: no order is wanted, only that no look is torn or left out. */
    static inline int gdcore_raised(const int* flag) { return __atomic_load_n(flag, __ATOMIC_RELAXED); }
    static inline void gdcore_raise(int* flag) { __atomic_store_n(flag, 1, __ATOMIC_RELAXED); }
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
    void gdcore_prefetch_later(const void* address) noexcept nogil
    int gdcore_raised(const int* flag) noexcept nogil
    void gdcore_raise(int* flag) noexcept nogil
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

include "losses.pxi"
include "optimizers.pxi"

cdef enum:
    LINE = 64               # bytes in a cache line
    PANEL = 128             # rows in a block turned on its side
    PANEL_STRIDE = 136      # its columns lie this far apart: off the powers of two, which share cache sets
    LANES = 16              # rows are padded to a multiple of this, a whole number of vectors
    TILE = 64               # columns between two rounds of prefetching
    LONG = 1024             # columns of a row whose products may be summed in float32
    AHEAD = 2048            # bytes that each of four streams is prefetched ahead; one stream alone: twice this
    SPAN = 1 << 17          # bytes between two streams
    BLOCK = 1 << 13         # bytes of rows whose residuals are made together
    COLUMN_ROWS = 256       # rows of a block that is visited by columns
    CHUNK = 1 << 20         # bytes of rows in a chunk, at least
    CHUNK_ROWS = 128        # and at least this many rows an output
    CLOCK_WORK = 1 << 20    # multiply-adds between two looks at the clock
    SHARED_WORK = 1 << 18   # multiply-adds in a pass from which on a second thread pays
    MOMENT_ROWS = 4096      # rows of a chunk of second moments, at least
    MANY = 1024             # columns: of more, second moments are made of twice as many rows at a time, of half as many a chunk

cdef enum Job:
    READ, PREDICT, LOSS, GRADIENT, MOMENTS

cdef enum Outcome:
    FINISHED, CONVERGED, DIVERGED, INTERRUPTED, MISPLACED, EXHAUSTED


cdef struct Pass:
    # One pass over the rows: what to read, with which model, how it is cut, where the sums go.
    Job job
    bint wide                       # float64, not float32
    LossKind loss
    double parameter                # δ of huber, τ of quantile
    double smoothing                # h, the width over which the slopes of mae and quantile change; 0: they jump
    Py_ssize_t n, d, k
    const Py_ssize_t* order         # which rows, in which order; NULL: as they lie
    Py_ssize_t first, last          # the pass is over positions first … first + n of `last` in all
    Py_ssize_t lookahead            # with an order: so many positions ahead rows are prefetched
    const char* x                   # (n, d), strides in bytes
    Py_ssize_t x_row, x_column
    const char* y                   # (n, y_columns): k columns, or one of classes for softmax
    Py_ssize_t y_row, y_column, y_columns
    const char* s                   # (n,) sample weights; NULL: all are 1
    Py_ssize_t s_row
    char* out                       # (n, k) predictions
    Py_ssize_t out_row, out_column
    const double* shift             # (d + y_columns,): what MOMENTS takes off every row of [X, Y]
    void* w                         # (k, d) contiguous: the weights, transposed
    void* b                         # (k,): the bias, zeros where there is none
    bint columns                    # the numbers of a column are nearer to each other than those of a row: visited by columns
    bint parted                     # by columns, float32 rows longer than LONG: their products are summed in double
    bint turned                     # rows shorter than a cache line: vectors run across rows
    bint direct                     # rows can be read in place
    Py_ssize_t span                 # rows between two streams
    Py_ssize_t block                # rows whose residuals are made together
    Py_ssize_t chunk_rows, chunks
    Py_ssize_t width                # doubles in a chunk's sums: loss, total weight, ∇b (k), ∇W (k, d)
    double* sums                    # (chunks, width); of MOMENTS (width,)
    const double* carried           # (width,): the sums of the rows before these, of another piece of the table; or NULL
    size_t scratch_bytes            # per thread


cdef struct Scratch:
    # A thread's own buffers, carved from one allocation, each on its own cache lines.
    double* sums                    # (width,): the sums of the chunk at work
    double* room                    # (4, block), for softmax
    void* raw                       # (k, block): Ŷ, then ∂ℓ/∂Ŷ
    void* behind                    # (k, block): ∂ℓ/∂Ŷ of the block before
    double* whole                   # (k, block): Ŷ of the columns before these, of a pass that is parted
    void* y                         # (k, block): where the targets are copied to
    const void* targets             # (k, block): there, or Y itself
    void* s                         # (block,): sample weights, 0 for padding
    void** rows                     # (block,): where the block's rows begin
    void** rows_behind
    void** soon                     # (block,): rows to prefetch meanwhile
    char* packed                    # one turned block, or what cannot be read in place: a block of rows, or four columns of it
    char* packed_behind             # the block of rows before it
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
    pthread_cond_t begin, end, turned
    Py_ssize_t round                # passes begun so far
    Py_ssize_t next_chunk
    Py_ssize_t turn                 # the chunk whose second moments are added next
    int busy                        # helpers at work
    int quit, stop                  # flags; stop: a signal came, leave the pass
    double checked                  # when signals were last looked for
    Py_ssize_t unchecked            # the calling thread's multiply-adds since then, carried from pass to pass


cdef struct Helper:
    Team* team
    int number


cdef inline double seconds() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return t.tv_sec + 1e-9 * t.tv_nsec


include "products.pxi"
include "moments.pxi"
include "visits.pxi"
include "columns.pxi"
include "team.pxi"
include "batches.pxi"


# ------------------------------------------------------------------------------------------------------- what Python calls

cdef class Objective:
    # What a pass computes beside XW: the loss and its penalties.
    cdef LossKind loss
    cdef double parameter, l1, l2, smoothing
    cdef Box box
    cdef const double[::1] low, high

    def __init__(self, loss, parameter, l1, l2, smoothing=0.0, bounds=None, weights=None):
        self.loss, self.parameter, self.l1, self.l2, self.smoothing = LOSS_KINDS[loss], parameter, l1, l2, smoothing
        self.box.low = self.box.high = NULL
        if bounds is not None:
            # those of a column, for each output
            d, k = weights.shape
            self.low = np.tile(np.asarray(bounds[0], np.float64), k)
            self.high = np.tile(np.asarray(bounds[1], np.float64), k)
            fits("bounds[0]", self.low.shape[0], d * k)
            fits("bounds[1]", self.high.shape[0], d * k)
            self.box.low, self.box.high = &self.low[0], &self.high[0]


cdef Crew recruit(Job job, const floating[:, :] X, const floating[:, :] Y, const floating[:] sample_weight,
                  floating[:, ::1] w, floating[::1] b, floating[:, :] out, Objective objective, int n_threads,
                  const Py_ssize_t[::1] order=None, Py_ssize_t batch=0):
    # A crew for passes over X, or over batches of it, with the transposed weights w (k, d) and the bias b (k,).
    cdef Crew crew = Crew()
    cdef Pass* t = &crew.work
    t.job = job
    t.wide = sizeof(floating) == 8
    t.n, t.d, t.k = X.shape[0], X.shape[1], w.shape[0]
    t.first, t.last = 0, t.n
    filled(t)
    fits("weights", w.shape[1], t.d, w.shape[0], t.k)
    fits("bias", b.shape[0], t.k)
    t.x, t.x_row, t.x_column = <const char*>&X[0, 0], X.strides[0], X.strides[1]
    t.w, t.b = &w[0, 0], &b[0]
    if objective is not None:
        t.loss, t.parameter, t.smoothing = objective.loss, objective.parameter, objective.smoothing
        fits("Y", Y.shape[0], t.n, Y.shape[1], 1 if t.loss == SOFTMAX else t.k)
    if sample_weight is not None:
        fits("sample_weight", sample_weight.shape[0], t.n)
    if out is not None:
        fits("out", out.shape[0], t.n, out.shape[1], t.k)
    if order is not None:
        fits("order", order.shape[0], t.n)
        within(order, t.n)
    if Y is not None:
        t.y, t.y_row, t.y_column, t.y_columns = <const char*>&Y[0, 0], Y.strides[0], Y.strides[1], Y.shape[1]
    if sample_weight is not None:
        t.s, t.s_row = <const char*>&sample_weight[0], sample_weight.strides[0]
    if out is not None:
        t.out, t.out_row, t.out_column = <char*>&out[0, 0], out.strides[0], out.strides[1]
    if order is not None:
        t.order = &order[0]
    if batch:
        t.n = batch
        # Prefetch the same place in the next batch, or, where batches are large or tiny, 16 kB of rows ahead.
        t.lookahead = max(1, 2 * BLOCK // (t.d * <Py_ssize_t>sizeof(floating)))
        t.lookahead = batch if t.lookahead <= batch <= 16 * t.lookahead else t.lookahead
    crew.held = (X, Y, sample_weight, w, b, out, order)
    crew.start(n_threads)
    return crew


cdef int fits(str name, Py_ssize_t rows, Py_ssize_t wanted_rows, Py_ssize_t columns=-1, Py_ssize_t wanted_columns=-1) except -1:
    # ValueError where an array's shape is not the one wanted beside the others.
    if rows != wanted_rows or columns != wanted_columns:
        found = f"({rows},)" if columns < 0 else f"({rows}, {columns})"
        wanted = f"({wanted_rows},)" if columns < 0 else f"({wanted_rows}, {wanted_columns})"
        raise ValueError(f"{name} has shape {found}, wanted {wanted} beside the other arrays")
    return 0


cdef int filled(Pass* t) except -1:
    # ValueError where there is nothing to go over.
    if t.n < 1 or t.d < 1 or t.k < 1:
        found = f"{t.n} rows, {t.d} columns, {t.k} outputs"
        raise ValueError(f"there is nothing to go over: {found}; wanted at least one of each")
    return 0


cdef int within(const Py_ssize_t[::1] order, Py_ssize_t n) except -1:
    # ValueError where an order has what is no row.
    cdef Py_ssize_t i = 0
    with nogil:
        while i < order.shape[0] and 0 <= order[i] < n:
            i += 1
    if i < order.shape[0]:
        raise ValueError(f"order[{i}] is {order[i]}, which is none of the {n} rows")
    return 0


cdef required(dict arrays):
    # TypeError where an array is None: a memoryview may be, and has no memory then.
    for name, array in arrays.items():
        if array is None:
            raise TypeError(f"{name} is None: wanted an array")


cdef int raise_signal() except -1:
    # The exception that a signal handler raised, KeyboardInterrupt as a rule.
    return -1 if PyErr_Occurred() else 0


cdef floating[:, ::1] transposed(const floating[:, :] weights):
    return np.array(weights.T, order="C")


cdef floating[::1] bias_or_zeros(bias, const floating[:, :] weights):
    return np.zeros(weights.shape[1], "f4" if sizeof(floating) == 4 else "f8") if bias is None else np.array(bias)


cdef double settle(Pass* t, Objective objective) noexcept nogil:
    # The sums of a pass become means, penalties included: returns the objective, leaves ∇b and ∇W in t.sums + 2.
    return settle_[double](t, objective, NULL) if t.wide else settle_[float](t, objective, NULL)


cdef double settle_(Pass* t, Objective objective, floating* tag) noexcept nogil:
    cdef const floating *w = <floating*>t.w
    cdef double *g = t.sums + 2 + t.k
    cdef double total = t.sums[1], value = t.sums[0] / total, l1 = objective.l1, l2 = objective.l2, squares = 0, size = 0
    cdef Py_ssize_t j, c, count = t.k * t.d
    if t.job == GRADIENT:
        for c in range(t.k):
            t.sums[2 + c] /= total
        for j in range(count):
            # ∇W = Xᵀ·∂ℓ/∂Ŷ / Σs + l2·W
            g[j] = g[j] / total + l2 * w[j]
    if l1 > 0 or l2 > 0:
        # objective = loss + (l2/2)·‖W‖² + l1·‖W‖₁
        for j in range(count):
            squares += <double>w[j] * w[j]
            size += fabs(w[j])
        value += l2 / 2 * squares + l1 * size
    return value


cdef double norm_of(const floating* w, const floating* g, Py_ssize_t size, const floating* bias, Py_ssize_t biases,
                    double l1, Box box) noexcept nogil:
    # The norm of the gradients g of `size` weights w and of the biases; with l1 or bounds, of the smallest subgradient.
    cdef double squares = 0, v, more
    cdef Py_ssize_t j
    for j in range(size):
        v = g[j]
        if box.low != NULL and not (box.low[j] < w[j] < box.high[j]):
            more = v + (-l1 if w[j] < 0 else l1)
            v -= -l1 if w[j] > 0 else l1
            v = v if v > 0 and w[j] > box.low[j] else more if more < 0 and w[j] < box.high[j] else v * 0
        elif l1 > 0:
            v = max(fabs(v) - l1, 0.0) if w[j] == 0 else v + (l1 if w[j] > 0 else -l1)
        squares += v * v
    for j in range(biases):
        squares += <double>bias[j] * bias[j]
    return sqrt(squares)


cdef _predict(const floating[:, :] X, const floating[:, :] weights, bias, floating[:, :] out, int n_threads):
    cdef Crew crew = recruit[floating](PREDICT, X, None, None, transposed[floating](weights),
                                       bias_or_zeros[floating](bias, weights), out, None, n_threads)
    cdef int outcome
    with nogil:
        outcome = run_pass(&crew.team)
    if outcome == INTERRUPTED:
        raise_signal()


cdef carry(Crew crew, const double[::1] carried):
    cdef Pass* t = &crew.work
    if carried is not None:
        fits("carried", carried.shape[0], t.width)
        t.carried = &carried[0]
        crew.held = (crew.held, carried)


cdef _partial(const floating[:, :] X, const floating[:, :] Y, const floating[:, :] weights, bias,
              const floating[:] sample_weight, int n_threads, Objective objective, const double[::1] carried):
    cdef floating[:, ::1] w = transposed[floating](weights)
    cdef Crew crew = recruit[floating](GRADIENT, X, Y, sample_weight, w, bias_or_zeros[floating](bias, weights), None,
                                       objective, n_threads)
    cdef Pass* t = &crew.work
    cdef int outcome
    carry(crew, carried)
    with nogil:
        outcome = run_pass(&crew.team)
    if outcome == INTERRUPTED:
        raise_signal()
    return np.array(<double[:t.width]>t.sums)


cdef double _loss(const floating[:, :] X, const floating[:, :] Y, const floating[:, :] weights, bias,
                  const floating[:] sample_weight, int n_threads, Objective objective) except? -1:
    cdef floating[:, ::1] w = transposed[floating](weights)
    cdef Crew crew = recruit[floating](LOSS, X, Y, sample_weight, w, bias_or_zeros[floating](bias, weights), None, objective,
                                       n_threads)
    cdef int outcome
    with nogil:
        outcome = run_pass(&crew.team)
    if outcome == INTERRUPTED:
        raise_signal()
    return settle(&crew.work, objective)


cdef _settled(double[::1] sums, const floating[:, :] weights, bias, Objective objective):
    cdef floating[:, ::1] w = transposed[floating](weights)
    cdef Pass t
    cdef double value
    memset(&t, 0, sizeof(Pass))
    t.job, t.wide, t.d, t.k = GRADIENT, sizeof(floating) == 8, w.shape[1], w.shape[0]
    fits("sums", sums.shape[0], 2 + t.k + t.k * t.d)
    t.w, t.sums = &w[0, 0], &sums[0]
    value = settle(&t, objective)
    dtype = "f4" if sizeof(floating) == 4 else "f8"
    made = np.asarray(sums)[2:]
    gradient = made[t.k:].reshape(t.k, t.d).T.astype(dtype, order="C")
    return value, gradient, None if bias is None else made[:t.k].astype(dtype)


cdef _step(floating[::1] parameters, const floating[::1] gradient, double lr, Rule rule, floating[:, ::1] state,
           double number):
    cdef floating* kept = &state[0, 0] if state is not None and state.shape[0] else NULL
    fits("gradient", gradient.shape[0], parameters.shape[0])
    remembers(&rule, 0 if state is None else state.shape[0], 0 if state is None else state.shape[1], parameters.shape[0])
    follow(&rule, &parameters[0], &gradient[0], kept, parameters.shape[0], parameters.shape[0], lr, number)


cdef _derivatives_of(const floating[:, ::1] raw, const floating[:, ::1] Y, const floating[::1] sample_weight,
                     floating[:, ::1] out, loss, double parameter, double smoothing):
    # Ŷ as it stands (k, n), for models whose predictions are not XW.
    cdef Py_ssize_t k = raw.shape[0], n = raw.shape[1], q
    cdef floating[::1] b = np.zeros(k, "f4" if sizeof(floating) == 4 else "f8")
    cdef const floating[::1] s = np.ones(n, "f4" if sizeof(floating) == 4 else "f8") if sample_weight is None else sample_weight
    cdef double[::1] room = np.empty(4 * n if loss == "softmax" else 1)
    cdef double[::1] slope = np.zeros(k)
    cdef double sums[1]
    cdef double total = 0
    sums[0] = 0
    if n < 1 or k < 1:
        raise ValueError(f"raw is empty: found shape ({k}, {n}), wanted (k, n)")
    fits("Y", Y.shape[0], 1 if loss == "softmax" else k, Y.shape[1], n)
    fits("sample_weight", s.shape[0], n)
    fits("out", out.shape[0], k, out.shape[1], n)
    for q in range(n):
        total += s[q]
    memcpy(&out[0, 0], &raw[0, 0], k * n * sizeof(floating))
    derivatives(<LossKind>LOSS_KINDS[loss], parameter, smoothing, n, k, &out[0, 0], &Y[0, 0], &s[0], &b[0], &room[0], sums,
                &slope[0])
    return sums[0], total


cdef double _gradient_norm(floating[::1] w, floating[::1] g, const floating[::1] bias_gradient, Objective objective):
    cdef Py_ssize_t biases = 0 if bias_gradient is None else bias_gradient.shape[0]
    fits("gradient", g.shape[0], w.shape[0])
    return norm_of(&w[0], &g[0], w.shape[0], &bias_gradient[0] if biases else NULL, biases, objective.l1, objective.box)


cdef Py_ssize_t room_in(double[:, ::1] history, const Py_ssize_t[::1] done, Py_ssize_t epochs) except -1:
    # How many columns of a history are filled; ValueError where there is no room for so many epochs after them.
    cdef Py_ssize_t first
    fits("done", done.shape[0], 1)
    first = done[0]
    if epochs < 0 or not 0 <= first <= history.shape[1] - epochs or history.shape[0] != 3:
        found = f"({history.shape[0]}, {history.shape[1]})"
        raise ValueError(f"history has shape {found}, wanted (3, …) with room for {epochs} epochs after {first}")
    return first


cdef class Parameters:
    # Weights (k, d), bias (k,), the optimizer's state and its count of steps, as one run of memory; and how they were
    # before the epoch at work, for an epoch that is interrupted or leaves the finite numbers is undone.
    cdef object flat, state, before, state_before
    cdef Py_ssize_t steps, steps_before

    def __init__(self, weights, bias, state, steps):
        k = weights.shape[1]
        if bias is not None and bias.shape != (k,):
            raise ValueError(f"bias has shape {bias.shape}, wanted ({k},) beside weights of shape {weights.shape}")
        self.flat = np.concatenate([weights.T.ravel(), np.zeros(k, weights.dtype) if bias is None else bias])
        self.before = np.empty_like(self.flat)
        self.state = np.zeros((0, self.flat.size), self.flat.dtype) if state is None else state
        self.state_before = np.empty_like(self.state)
        self.steps = 0 if steps is None else steps[0]

    def give_back(self, weights, bias, steps):
        k = weights.shape[1]
        weights[:] = self.flat[:-k].reshape(k, -1).T
        if bias is not None:
            bias[:] = self.flat[-k:]
        if steps is not None:
            steps[0] = self.steps


cdef _descend(const floating[:, :] X, const floating[:, :] Y, weights, bias, const floating[:] sample_weight, gradient,
              bias_gradient, const double[::1] lr, Py_ssize_t epochs, double tol, double ceiling, double[:, ::1] history,
              Py_ssize_t[::1] done, int n_threads, Objective objective, Rule rule, state, steps):
    cdef Parameters own = Parameters(weights, bias, state, steps)
    cdef Parameters along = Parameters(gradient, bias_gradient, None, None)
    cdef floating[::1] flat = own.flat
    cdef floating[::1] before = own.before
    cdef floating[:, ::1] kept = own.state
    cdef floating[:, ::1] kept_before = own.state_before
    cdef floating[::1] g = along.flat
    cdef floating[::1] made = along.before
    cdef floating* next_g = &made[0]
    cdef Py_ssize_t k = weights.shape[1], size = flat.shape[0] - k, steps_done = own.steps, j, epoch
    cdef Py_ssize_t first = room_in(history, done, epochs)
    cdef Crew crew = recruit[floating](GRADIENT, X, Y, sample_weight, own.flat[:size].reshape(k, -1), own.flat[size:], None,
                                       objective, n_threads)
    cdef Pass* t = &crew.work
    cdef floating* s = &kept[0, 0] if kept.shape[0] else NULL
    cdef floating* s_before = &kept_before[0, 0] if kept.shape[0] else NULL
    cdef size_t bytes = (size + k) * sizeof(floating), state_bytes = kept.shape[0] * bytes
    cdef bint has_bias = bias is not None
    cdef int outcome = FINISHED
    cdef double value, norm, now, then = seconds()
    fits("gradient", gradient.shape[0], weights.shape[0], gradient.shape[1], k)
    fits("gradient and bias_gradient", g.shape[0], flat.shape[0])
    remembers(&rule, kept.shape[0], kept.shape[1], flat.shape[0])
    if lr.shape[0] < epochs:
        raise ValueError(f"lr has {lr.shape[0]} numbers, wanted {epochs}, one for each epoch")
    with nogil:
        for epoch in range(first, first + epochs):
            memcpy(&before[0], &flat[0], bytes)
            if s != NULL:
                memcpy(s_before, s, state_bytes)
            follow(&rule, &flat[0], &g[0], s, size + k, size + k if has_bias else size, lr[epoch - first], steps_done + 1)
            shrink(&flat[0], size, lr[epoch - first] * objective.l1, objective.box)
            outcome = run_pass(&crew.team)
            if outcome == FINISHED:
                value = settle(t, objective)
                for j in range(size):
                    next_g[j] = <floating>t.sums[2 + k + j]
                for j in range(k):
                    next_g[size + j] = <floating>t.sums[2 + j]
                norm = norm_of(&flat[0], next_g, size, next_g + size, k if has_bias else 0, objective.l1, objective.box)
                if not (isfinite(value) and isfinite(norm) and value <= ceiling):
                    outcome = DIVERGED
            if outcome != FINISHED:
                # Whole epochs only: leave everything as the last one left it, to which g still belongs.
                memcpy(&flat[0], &before[0], bytes)
                if s != NULL:
                    memcpy(s, s_before, state_bytes)
                break
            memcpy(&g[0], next_g, bytes)
            steps_done += 1
            now = seconds()
            history[0, epoch] = value
            history[1, epoch] = norm
            history[2, epoch] = now - then
            then = now
            done[0] = epoch + 1
            if norm <= tol:
                outcome = CONVERGED
                break
    own.steps = steps_done
    try:
        if outcome == INTERRUPTED:
            raise_signal()
    finally:
        own.give_back(weights, bias, steps)
        along.give_back(gradient, bias_gradient, None)
    return outcome


cdef _batches(const floating[:, :] X, const floating[:, :] Y, weights, bias, const floating[:] sample_weight, double lr,
              Py_ssize_t batch, const Py_ssize_t[::1] order, double[:, ::1] history, Py_ssize_t[::1] done, int n_threads,
              Objective objective, Rule rule, state, steps):
    cdef Parameters own = Parameters(weights, bias, state, steps)
    cdef floating[::1] flat = own.flat
    cdef floating[::1] g = np.zeros_like(own.flat)
    cdef floating[:, ::1] kept = own.state
    cdef Py_ssize_t k = weights.shape[1], size = flat.shape[0] - k, steps_done = own.steps, j, n = X.shape[0]
    if not 1 <= batch <= n:
        raise ValueError(f"batch_size must be 1 … {n}, the number of rows, found {batch}")
    cdef Crew crew = recruit[floating](GRADIENT, X, Y, sample_weight, own.flat[:size].reshape(k, -1), own.flat[size:], None,
                                       objective, n_threads, order, batch)
    cdef Pass* t = &crew.work
    cdef floating* s = &kept[0, 0] if kept.shape[0] else NULL
    cdef bint has_bias = bias is not None
    cdef int outcome = FINISHED
    cdef double value = 0, total = 0, then = seconds()
    cdef Steps e
    e.rule, e.lr, e.l1, e.l2, e.has_bias, e.taken = rule, lr, objective.l1, objective.l2, has_bias, steps_done
    e.box = objective.box
    e.plain = rule.kind == SGD and rule.a == 0 and not rule.rounding.wanted
    e.value = e.total = 0
    remembers(&rule, kept.shape[0], kept.shape[1], flat.shape[0])
    room_in(history, done, 1)
    own.before[:] = own.flat
    own.state_before[:] = own.state
    with nogil:
        if are_small(t):
            outcome = small_steps(t, &e, &crew.team, &flat[0], &g[0], s)
            t.first, value, total, steps_done = n, e.value, e.total, e.taken
        while t.first < n:
            if t.n > n - t.first:
                t.n = n - t.first
                cut(t)
            outcome = run_pass(&crew.team)
            if outcome != FINISHED:
                break
            if t.sums[1] > 0:
                value += t.sums[0]
                total += t.sums[1]
                settle(t, objective)
                for j in range(size):
                    g[j] = <floating>t.sums[2 + k + j]
                for j in range(k):
                    g[size + j] = <floating>t.sums[2 + j]
                steps_done += 1
                follow(&rule, &flat[0], &g[0], s, size + k, size + k if has_bias else size, lr, steps_done)
                shrink(&flat[0], size, lr * objective.l1, objective.box)
            t.first += t.n
        if outcome == FINISHED:
            # The mean of the batches' losses, each at the weights that it met, and the penalties at the end.
            t.sums[0], t.sums[1], t.job = value, total, LOSS
            value = settle(t, objective)
            for j in range(size + k):
                if not isfinite(flat[j]):
                    outcome = DIVERGED
            if not isfinite(value):
                outcome = DIVERGED
    try:
        if outcome == INTERRUPTED:
            raise_signal()
        if outcome == EXHAUSTED:
            raise MemoryError(f"no memory for steps of {batch} rows of {t.d} columns")
        if outcome == MISPLACED:
            raise ValueError(f"order was changed meanwhile: it has what is none of the {n} rows")
    finally:
        if outcome == FINISHED:
            own.steps = steps_done
            history[0, done[0]] = value
            history[1, done[0]] = NAN
            history[2, done[0]] = seconds() - then
            done[0] += 1
        else:
            own.flat[:] = own.before
            own.state[:] = own.state_before
        own.give_back(weights, bias, steps)
    return outcome


cdef _read(const floating[:] elements, int n_threads):
    cdef Crew crew = Crew()
    cdef Pass* t = &crew.work
    t.job = READ
    t.wide = sizeof(floating) == 8
    t.n, t.d, t.k = elements.shape[0], 1, 1
    filled(t)
    t.x, t.x_row, t.x_column = <const char*>&elements[0], elements.strides[0], elements.strides[0]
    crew.held = elements
    crew.start(n_threads)
    cdef int outcome
    with nogil:
        outcome = run_pass(&crew.team)
    if outcome == INTERRUPTED:
        raise_signal()
    return t.sums[0]


cdef _moments(const floating[:, :] X, const floating[:, :] Y, const floating[:] sample_weight, const double[::1] shift,
              int n_threads, const double[::1] carried):
    cdef Crew crew = Crew()
    cdef Pass* t = &crew.work
    cdef int outcome
    t.job = MOMENTS
    t.wide = sizeof(floating) == 8
    t.n, t.d, t.k, t.last = X.shape[0], X.shape[1], 1, X.shape[0]
    filled(t)
    t.x, t.x_row, t.x_column = <const char*>&X[0, 0], X.strides[0], X.strides[1]
    if Y is not None:
        fits("Y", Y.shape[0], t.n, Y.shape[1], Y.shape[1])
        t.y_row, t.y_column, t.y_columns = Y.strides[0], Y.strides[1], Y.shape[1]
        t.y = <const char*>&Y[0, 0] if t.y_columns else NULL
    if sample_weight is not None:
        fits("sample_weight", sample_weight.shape[0], t.n)
        t.s, t.s_row = <const char*>&sample_weight[0], sample_weight.strides[0]
    fits("shift", shift.shape[0], t.d + t.y_columns)
    t.shift = &shift[0]
    crew.held = (X, Y, sample_weight, shift)
    crew.start(n_threads)
    carry(crew, carried)
    with nogil:
        outcome = run_pass(&crew.team)
    if outcome == INTERRUPTED:
        raise_signal()
    return np.array(<double[:t.width]>t.sums)


def lasso(A, q, w, l1, sweeps=1000, tol=1e-14, bounds=None):
    cdef const double[:, ::1] a = A
    cdef const double[::1] right = q
    cdef double[::1] x = w
    cdef double[::1] ax = A @ w
    cdef const double[::1] low = None if bounds is None else bounds[0]
    cdef const double[::1] high = None if bounds is None else bounds[1]
    cdef bint held = bounds is not None
    cdef double penalty = l1, old, v, moved, size, least = tol
    cdef Py_ssize_t d = x.shape[0], i, j, _, most = sweeps
    fits("A", a.shape[0], d, a.shape[1], d)
    fits("q", right.shape[0], d)
    fits("A @ w", ax.shape[0], d)
    if held:
        fits("bounds[0]", low.shape[0], d)
        fits("bounds[1]", high.shape[0], d)
    with nogil:
        for _ in range(most):
            moved = size = 0
            for j in range(d):
                if a[j, j] <= 0:
                    continue
                # minimise over w_j alone: soft threshold of what the others leave, within the bounds
                old = x[j]
                v = right[j] - ax[j] + a[j, j] * old
                v = (v - penalty if v > penalty else (v + penalty if v < -penalty else 0)) / a[j, j]
                if held:
                    v = low[j] if v < low[j] else high[j] if v > high[j] else v
                if v != old:
                    x[j] = v
                    for i in range(d):
                        ax[i] += (v - old) * a[j, i]
                    moved = max(moved, a[j, j] * (v - old) * (v - old))
                size = max(size, a[j, j] * v * v)
            if moved <= least * least * size:
                break


PLAIN = {"momentum": 0.0, "nesterov": False}
OUTCOMES = {FINISHED: "epochs", CONVERGED: "converged", DIVERGED: "diverged"}


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


def multiply_adds(rounds):
    """Makes multiply-adds as fast as one core can, from registers to registers: how many it made."""
    cdef double x = 0.5
    cdef Py_ssize_t count = rounds
    with nogil:
        gdcore_chains(count, &x)
    return count * GDCORE_CHAINS


def moments(X, Y, sample_weight, shift, n_threads=1, carried=None):
    required({"shift": shift})
    if X.dtype == "f8":
        return _moments[double](X, Y, sample_weight, shift, n_threads, carried)
    return _moments[float](X, Y, sample_weight, shift, n_threads, carried)


def whole_rows(X, Y=None, outputs=1, moments=False):
    cdef Pass t
    memset(&t, 0, sizeof(Pass))
    t.job = MOMENTS if moments else GRADIENT
    t.wide = X.dtype == "f8"
    t.n, t.d, t.k = 1, X.shape[1], outputs
    t.y_columns = 0 if Y is None else Y.shape[1]
    t.x_column = 1 << 62            # by columns: these are chunks by rows too
    if t.d < 1 or t.k < 1:
        raise ValueError(f"X has {t.d} columns and the model {t.k} outputs: wanted at least one of each")
    cut(&t)
    return t.chunk_rows


def predict(X, weights, bias, out, n_threads=1):
    required({"weights": weights, "out": out})
    if X.dtype == "f8":
        _predict[double](X, weights, bias, out, n_threads)
    else:
        _predict[float](X, weights, bias, out, n_threads)


def partial(X, Y, weights, bias, sample_weight=None, n_threads=1, loss="mse", parameter=0.0, smoothing=0.0, carried=None):
    required({"Y": Y, "weights": weights})
    objective = Objective(loss, parameter, 0.0, 0.0, smoothing)
    if X.dtype == "f8":
        return _partial[double](X, Y, weights, bias, sample_weight, n_threads, objective, carried)
    return _partial[float](X, Y, weights, bias, sample_weight, n_threads, objective, carried)


def settled(sums, weights, bias, l1=0.0, l2=0.0):
    objective = Objective("mse", 0.0, l1, l2)
    if weights.dtype == "f8":
        return _settled[double](np.array(sums), weights, bias, objective)
    return _settled[float](np.array(sums), weights, bias, objective)


def loss(X, Y, weights, bias, sample_weight=None, n_threads=1, loss="mse", parameter=0.0, l1=0.0, l2=0.0):
    required({"Y": Y, "weights": weights})
    objective = Objective(loss, parameter, l1, l2)
    if X.dtype == "f8":
        return _loss[double](X, Y, weights, bias, sample_weight, n_threads, objective)
    return _loss[float](X, Y, weights, bias, sample_weight, n_threads, objective)


def gradient(X, Y, weights, bias, sample_weight=None, n_threads=1, loss="mse", parameter=0.0, l1=0.0, l2=0.0):
    return loss_gradient(X, Y, weights, bias, sample_weight, n_threads, loss, parameter, l1, l2)[1:]


def loss_gradient(X, Y, weights, bias, sample_weight=None, n_threads=1, loss="mse", parameter=0.0, l1=0.0, l2=0.0,
                  smoothing=0.0):
    sums = partial(X, Y, weights, bias, sample_weight, n_threads, loss, parameter, smoothing)
    return settled(sums, weights, bias, l1, l2)


def gradient_norm(weights, gradient, bias_gradient, l1=0.0, bounds=None):
    objective = Objective("mse", 0.0, l1, 0.0, 0.0, bounds, weights)
    if weights.dtype == "f8":
        return _gradient_norm[double](weights.T.ravel(), gradient.T.ravel(), bias_gradient, objective)
    return _gradient_norm[float](weights.T.ravel(), gradient.T.ravel(), bias_gradient, objective)


def permutation(out, seed, epoch):
    required({"out": out})
    cdef Py_ssize_t[::1] order = out
    cdef unsigned long long z = (<unsigned long long>seed * 0x9E3779B97F4A7C15u) ^ <unsigned long long>epoch, r
    cdef Py_ssize_t i, j
    with nogil:
        for i in range(order.shape[0]):
            order[i] = i
        for i in range(order.shape[0] - 1, 0, -1):
            # splitmix64, by Steele, Lea and Flood
            z += 0x9E3779B97F4A7C15u
            r = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u
            r = (r ^ (r >> 27)) * 0x94D049BB133111EBu
            j = <Py_ssize_t>((r ^ (r >> 31)) % <unsigned long long>(i + 1))
            order[i], order[j] = order[j], order[i]


def derivatives_of(raw, Y, sample_weight, out, loss="mse", parameter=0.0, smoothing=0.0):
    required({"Y": Y, "out": out})
    if raw.dtype == "f8":
        return _derivatives_of[double](raw, Y, sample_weight, out, loss, parameter, smoothing)
    return _derivatives_of[float](raw, Y, sample_weight, out, loss, parameter, smoothing)


def update(weights, gradient, lr, decimals=None):
    flat = np.array(weights).ravel()
    step(flat, np.ascontiguousarray(gradient).ravel(), lr, ("sgd", PLAIN), None, 1, decimals)
    weights[...] = flat.reshape(weights.shape)


def step(parameters, gradient, lr, optimizer, state, number, decimals=None):
    required({"gradient": gradient})
    if parameters.dtype == "f8":
        _step[double](parameters, gradient, lr, rule_of(optimizer, decimals), state, number)
    else:
        _step[float](parameters, gradient, lr, rule_of(optimizer, decimals), state, number)


def descend(X, Y, weights, bias, gradient, bias_gradient, lr, epochs, history, done, sample_weight=None, tol=-1.0,
            decimals=None, n_threads=1, loss="mse", parameter=0.0, l1=0.0, l2=0.0, optimizer=("sgd", PLAIN), state=None,
            steps=None, ceiling=np.inf, bounds=None):
    required({"Y": Y, "history": history, "done": done, "lr": lr})
    objective = Objective(loss, parameter, l1, l2, 0.0, bounds, weights)
    rule = rule_of(optimizer, decimals)
    if not isinstance(lr, np.ndarray):
        lr = np.full(epochs, lr, np.float64)
    if X.dtype == "f8":
        outcome = _descend[double](X, Y, weights, bias, sample_weight, gradient, bias_gradient, lr, epochs, tol, ceiling,
                                   history, done, n_threads, objective, rule, state, steps)
    else:
        outcome = _descend[float](X, Y, weights, bias, sample_weight, gradient, bias_gradient, lr, epochs, tol, ceiling,
                                  history, done, n_threads, objective, rule, state, steps)
    return OUTCOMES[outcome]


def descend_batches(X, Y, weights, bias, lr, batch_size, history, done, order=None, sample_weight=None, decimals=None,
                    n_threads=1, loss="mse", parameter=0.0, l1=0.0, l2=0.0, optimizer=("sgd", PLAIN), state=None, steps=None,
                    bounds=None):
    required({"Y": Y, "history": history, "done": done})
    objective = Objective(loss, parameter, l1, l2, 0.0, bounds, weights)
    rule = rule_of(optimizer, decimals)
    if X.dtype == "f8":
        outcome = _batches[double](X, Y, weights, bias, sample_weight, lr, batch_size, order, history, done, n_threads,
                                   objective, rule, state, steps)
    else:
        outcome = _batches[float](X, Y, weights, bias, sample_weight, lr, batch_size, order, history, done, n_threads,
                                  objective, rule, state, steps)
    return OUTCOMES[outcome]
