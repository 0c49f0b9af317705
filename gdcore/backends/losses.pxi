# The losses, forward and backward, on a block of m predictions; included by kernel.pyx.
#
# Each function takes raw (m,) = XW, the targets y (m,), the sample weights s (m,) and the bias b of one output. It turns
# raw into ∂ℓ/∂ŷ, ŷ = raw + b, and adds Σ s·ℓ to sums[0] and Σ ∂ℓ/∂ŷ to slope[0]. A row with s = 0, as padding has it, counts
# nothing, whatever overflows in it: its residual is taken to be 0, for 0·∞ is NaN.

cdef enum LossKind:
    MSE, MAE, HUBER, QUANTILE, LOGISTIC, SOFTMAX, POISSON, GAMMA, TWEEDIE

cdef dict LOSS_KINDS = {"mse": MSE, "mae": MAE, "huber": HUBER, "quantile": QUANTILE, "logistic": LOGISTIC, "softmax": SOFTMAX,
                        "poisson": POISSON, "gamma": GAMMA, "tweedie": TWEEDIE}
LOSSES = frozenset(LOSS_KINDS)


cdef inline void mse(Py_ssize_t m, floating* raw, const floating* y, const floating* s, floating b, double* sums,
                     double* slope) noexcept nogil:
    cdef floating r, loss = 0, total = 0
    cdef Py_ssize_t q
    for q in range(m):
        # forward   ℓ = s·(ŷ − y)²
        r = raw[q] + b - y[q]
        r = r if s[q] != 0 else 0
        loss += s[q] * r * r
        # backward  ∂ℓ/∂ŷ = 2·s·(ŷ − y)
        r = 2 * s[q] * r
        total += r
        raw[q] = r
    sums[0] += loss
    slope[0] += total


cdef inline void mae(Py_ssize_t m, floating* raw, const floating* y, const floating* s, floating b, floating h, double* sums,
                     double* slope) noexcept nogil:
    cdef floating r, loss = 0, total = 0, steep = 1 / h if h > 0 else 0
    cdef Py_ssize_t q
    for q in range(m):
        # forward   ℓ = s·|ŷ − y|
        r = raw[q] + b - y[q]
        r = r if s[q] != 0 else 0
        loss += s[q] * (r if r > 0 else -r)
        # backward  ∂ℓ/∂ŷ = s·sign(ŷ − y), 0 at 0; smoothed with width h: s·clip(r/h, −1, 1)
        r = s[q] if r > h else (-s[q] if r < -h else s[q] * r * steep)
        total += r
        raw[q] = r
    sums[0] += loss
    slope[0] += total


cdef inline void huber(Py_ssize_t m, floating* raw, const floating* y, const floating* s, floating b, floating delta,
                       double* sums, double* slope) noexcept nogil:
    cdef floating r, clipped, loss = 0, total = 0
    cdef Py_ssize_t q
    for q in range(m):
        # forward   ℓ = s·½r² where |r| ≤ δ, else s·δ(|r| − ½δ); with c = clip(r, −δ, δ) both are s·c·(r − ½c)
        r = raw[q] + b - y[q]
        r = r if s[q] != 0 else 0
        clipped = delta if r > delta else (-delta if r < -delta else r)
        loss += s[q] * clipped * (r - <floating>0.5 * clipped)
        # backward  ∂ℓ/∂ŷ = s·clip(r, −δ, δ)
        r = s[q] * clipped
        total += r
        raw[q] = r
    sums[0] += loss
    slope[0] += total


cdef inline void quantile(Py_ssize_t m, floating* raw, const floating* y, const floating* s, floating b, floating tau,
                          floating h, double* sums, double* slope) noexcept nogil:
    cdef floating r, loss = 0, total = 0, steep = 1 / (2 * h) if h > 0 else 0
    cdef floating middle = <floating>0.5 - tau if h > 0 else 0
    cdef Py_ssize_t q
    for q in range(m):
        # forward   ℓ = s·max(−τr, (1 − τ)r)
        r = raw[q] + b - y[q]
        r = r if s[q] != 0 else 0
        loss += s[q] * ((1 - tau) * r if r > 0 else -tau * r)
        # backward  ∂ℓ/∂ŷ = s·(1 − τ) where r > 0, −s·τ where r < 0, 0 at 0; smoothed: s·(clip(r/2h, −½, ½) + ½ − τ)
        r = s[q] * (1 - tau) if r > h else (-s[q] * tau if r < -h else s[q] * (r * steep + middle))
        total += r
        raw[q] = r
    sums[0] += loss
    slope[0] += total


cdef inline void logistic(Py_ssize_t m, floating* raw, const floating* y, const floating* s, floating b, double* sums,
                          double* slope) noexcept nogil:
    cdef double x, e, loss = 0, total = 0, target
    cdef Py_ssize_t q
    for q in range(m):
        # forward   ℓ = s·(log(1 + e^ŷ) − yŷ) = s·(log(1 + e) + (1 − y)·ŷ for ŷ > 0, −y·ŷ else), e = e^−|ŷ|: never overflows
        x = <double>raw[q] + <double>b
        x = x if s[q] != 0 else 0
        target = y[q]
        e = exp_negative(fabs(x))
        loss += s[q] * (log1p_unit(e) + ((1 - target) * x if x > 0 else -target * x))
        # backward  ∂ℓ/∂ŷ = s·(σ(ŷ) − y), σ(ŷ) = 1/(1 + e) for ŷ > 0, e/(1 + e) else
        x = s[q] * ((1 - target) - target * e if x > 0 else (1 - target) * e - target) / (1 + e)
        total += x
        raw[q] = <floating>x
    sums[0] += loss
    slope[0] += total


cdef inline void poisson(Py_ssize_t m, floating* raw, const floating* y, const floating* s, floating b, double* sums,
                         double* slope) noexcept nogil:
    cdef double x, mean, loss = 0, total = 0
    cdef Py_ssize_t q
    for q in range(m):
        # forward   ℓ = s·(e^ŷ − yŷ)
        x = <double>raw[q] + <double>b
        x = x if s[q] != 0 else 0
        mean = exponential(x)
        loss += s[q] * (mean - y[q] * x)
        # backward  ∂ℓ/∂ŷ = s·(e^ŷ − y)
        x = s[q] * (mean - y[q])
        total += x
        raw[q] = <floating>x
    sums[0] += loss
    slope[0] += total


cdef inline void gamma(Py_ssize_t m, floating* raw, const floating* y, const floating* s, floating b, double* sums,
                       double* slope) noexcept nogil:
    cdef double x, ratio, loss = 0, total = 0
    cdef Py_ssize_t q
    for q in range(m):
        # forward   ℓ = s·(y·e^−ŷ + ŷ)
        x = <double>raw[q] + <double>b
        x = x if s[q] != 0 else 0
        ratio = y[q] * exponential(-x)
        loss += s[q] * (ratio + x)
        # backward  ∂ℓ/∂ŷ = s·(1 − y·e^−ŷ)
        x = s[q] * (1 - ratio)
        total += x
        raw[q] = <floating>x
    sums[0] += loss
    slope[0] += total


cdef inline void tweedie(Py_ssize_t m, floating* raw, const floating* y, const floating* s, floating b, double power,
                         double* sums, double* slope) noexcept nogil:
    cdef double x, grows, falls, loss = 0, total = 0, a_ = 2 - power, b_ = power - 1
    cdef Py_ssize_t q
    for q in range(m):
        # forward   ℓ = s·(e^((2−p)ŷ)/(2−p) − y·e^((1−p)ŷ)/(1−p))
        x = <double>raw[q] + <double>b
        x = x if s[q] != 0 else 0
        grows = exponential(a_ * x)
        falls = y[q] * exponential(-b_ * x)
        loss += s[q] * (grows / a_ + falls / b_)
        # backward  ∂ℓ/∂ŷ = s·(e^((2−p)ŷ) − y·e^((1−p)ŷ))
        x = s[q] * (grows - falls)
        total += x
        raw[q] = <floating>x
    sums[0] += loss
    slope[0] += total


cdef inline void softmax(Py_ssize_t m, Py_ssize_t k, floating* raw, const floating* y, const floating* s, const floating* b,
                         double* room, double* sums, double* slope) noexcept nogil:
    # All k outputs at once: raw (k, m), y (m,) classes 0 … k − 1, b (k,), room (4, m), slope (k,). What is no such class is
    # never an index: the loss is then NaN, and the slopes are those of class 0.
    cdef double *top = room
    cdef double *whole = room + m
    cdef double *of_class = room + 2 * m
    cdef Py_ssize_t *place = <Py_ssize_t*>(room + 3 * m)
    cdef double loss = 0, e, total
    cdef floating v
    cdef Py_ssize_t q, c
    # forward   ℓ = s·(logsumexp(ŷ) − ŷ_y) = s·(log Σ e^(ŷ − max ŷ) + max ŷ − ŷ_y)
    for c in range(k):
        for q in range(m):
            v = raw[c * m + q] + b[c]
            v = v if s[q] != 0 else 0
            raw[c * m + q] = v
            top[q] = v if c == 0 or not v < top[q] else top[q]
    for q in range(m):
        v = y[q]
        c = <Py_ssize_t>v if 0 <= v < k else 0
        place[q] = c * m + q
        of_class[q] = raw[c * m + q] if v == c else <floating>NAN
        whole[q] = 0
    for c in range(k):
        for q in range(m):
            e = exp_negative(top[q] - raw[c * m + q])
            whole[q] += e
            raw[c * m + q] = <floating>e
    for q in range(m):
        top[q] -= of_class[q]       # in a loop of its own: the sum below must not be re-associated
    for q in range(m):
        loss += s[q] * (log(whole[q]) + top[q])
        whole[q] = s[q] / whole[q]
    # backward  ∂ℓ/∂ŷ = s·(softmax(ŷ) − onehot(y))
    for q in range(m):
        of_class[q] = raw[place[q]] * whole[q] - s[q]
    for c in range(k):
        for q in range(m):
            raw[c * m + q] = <floating>(raw[c * m + q] * whole[q])
    for q in range(m):
        raw[place[q]] = <floating>of_class[q]
    for c in range(k):
        total = 0
        for q in range(m):
            total += raw[c * m + q]
        slope[c] += total
    sums[0] += loss


cdef inline void derivatives(LossKind loss, double parameter, double smoothing, Py_ssize_t m, Py_ssize_t k, floating* raw,
                             const floating* y, const floating* s, const floating* b, double* room, double* sums,
                             double* slope) noexcept nogil:
    # raw (k, m) = XW becomes ∂ℓ/∂Ŷ of the loss chosen; sums[0] += Σ s·ℓ, slope (k,) += Σ ∂ℓ/∂ŷ.
    cdef Py_ssize_t c
    if loss == SOFTMAX:
        softmax(m, k, raw, y, s, b, room, sums, slope)
        return
    for c in range(k):
        if loss == MSE:
            mse(m, raw, y, s, b[c], sums, slope + c)
        elif loss == MAE:
            mae(m, raw, y, s, b[c], <floating>smoothing, sums, slope + c)
        elif loss == HUBER:
            huber(m, raw, y, s, b[c], <floating>parameter, sums, slope + c)
        elif loss == QUANTILE:
            quantile(m, raw, y, s, b[c], <floating>parameter, <floating>smoothing, sums, slope + c)
        elif loss == POISSON:
            poisson(m, raw, y, s, b[c], sums, slope + c)
        elif loss == GAMMA:
            gamma(m, raw, y, s, b[c], sums, slope + c)
        elif loss == TWEEDIE:
            tweedie(m, raw, y, s, b[c], parameter, sums, slope + c)
        elif loss == LOGISTIC:
            logistic(m, raw, y, s, b[c], sums, slope + c)
        else:
            sums[0] = NAN  # a loss without a section here is told, and not taken for another
        raw += m
        y += m


cdef union Number:
    double value
    long long bits


cdef extern from *:
    """
    /* A sum that the compiler must not re-associate, though it may run in vectors. */
    #ifndef __has_builtin
    #define __has_builtin(name) 0
    #endif
    #if __has_builtin(__builtin_assoc_barrier)
    #define AS_WRITTEN(x) __builtin_assoc_barrier(x)
    #elif __has_builtin(__arithmetic_fence)
    #define AS_WRITTEN(x) __arithmetic_fence(x)
    #else
    #define AS_WRITTEN(x) (x)
    #endif
    """
    double AS_WRITTEN(double x) noexcept nogil


cdef inline double exponential(double x) noexcept nogil:
    # e^x to 2 units in the last place, ∞ past 709.7, at least e^−708; NaN stays NaN. Plain arithmetic, so that loops over it
    # run in vectors: e^x = 2^k·e^u with k the integer nearest to x·log2(e), u = x − k·log 2, |u| ≤ ½·log 2, and e^u by its
    # series. log 2 is taken off in two parts, of which the first has few enough digits that k times it is exact (Cody and
    # Waite 1980).
    cdef double k, u, p
    cdef Number power
    x = -708 if x < -708 else x
    k = rint(x * 1.4426950408889634)
    k = k if k < 1024 else 1023
    u = AS_WRITTEN(x - k * 0.6931471803691238) - k * 1.9082149292705877e-10
    p = 1.0 / 479001600 + u * (1.0 / 6227020800.0)
    p = 1.0 / 39916800 + u * p
    p = 1.0 / 3628800 + u * p
    p = 1.0 / 362880 + u * p
    p = 1.0 / 40320 + u * p
    p = 1.0 / 5040 + u * p
    p = 1.0 / 720 + u * p
    p = 1.0 / 120 + u * p
    p = 1.0 / 24 + u * p
    p = 1.0 / 6 + u * p
    p = 0.5 + u * p
    p = 1 + u * (1 + u * p)
    power.bits = <long long>(1023 + <int>k) << 52
    return p * power.value if x < 709.7 or x != x else INFINITY


cdef inline double exp_negative(double a) noexcept nogil:
    # e^−a for a ≥ 0
    return exponential(-a)


cdef inline double log1p_unit(double e) noexcept nogil:
    # log(1 + e) for 0 ≤ e ≤ 1: 2·atanh(z), z = e/(2 + e) ≤ ⅓, by its series z + z³/3 + z⁵/5 + …
    cdef double z = e / (2 + e), z2 = z * z, p
    p = 1.0 / 31 + z2 * (1.0 / 33)
    p = 1.0 / 29 + z2 * p
    p = 1.0 / 27 + z2 * p
    p = 1.0 / 25 + z2 * p
    p = 1.0 / 23 + z2 * p
    p = 1.0 / 21 + z2 * p
    p = 1.0 / 19 + z2 * p
    p = 1.0 / 17 + z2 * p
    p = 1.0 / 15 + z2 * p
    p = 1.0 / 13 + z2 * p
    p = 1.0 / 11 + z2 * p
    p = 1.0 / 9 + z2 * p
    p = 1.0 / 7 + z2 * p
    p = 1.0 / 5 + z2 * p
    p = 1.0 / 3 + z2 * p
    return 2 * z * (1 + z2 * p)
