# The optimizers: how weights follow their gradient; included by kernel.pyx. Formulas, names and defaults are PyTorch's.

cdef enum RuleKind:
    SGD, ADAGRAD, RMSPROP, ADAM, ADAMW

cdef dict RULE_KINDS = {"sgd": SGD, "adagrad": ADAGRAD, "rmsprop": RMSPROP, "adam": ADAM, "adamw": ADAMW}
RULES = frozenset(RULE_KINDS)


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
    # W ← W − lr·∇W, gradient and result rounded where the textbook rounds them. A rounding is decided by the last bit, so
    # there each operation stands alone, as NumPy's do: neither fused nor re-associated.
    cdef volatile floating along
    cdef volatile floating change
    if not r.wanted:
        return <floating>(weight - lr * gradient)
    along = rounded(gradient, r)
    change = <floating>lr * along
    return rounded(<floating>(weight - change), r)


cdef struct Rule:
    RuleKind kind
    double a, b, eps, decay         # see each kind below
    bint flag
    Rounding rounding


cdef Rule rule_of(optimizer, decimals):
    # optimizer: (name, parameters by name), as gdcore.optimizers makes it
    cdef Rule rule
    name, p = optimizer
    rule.kind = RULE_KINDS[name]
    rule.a = rule.b = rule.eps = rule.decay = 0
    rule.flag = False
    rule.rounding = rounding(decimals)
    if rule.kind == SGD:
        rule.a, rule.flag = p["momentum"], p["nesterov"]
    elif rule.kind == ADAGRAD:
        rule.a, rule.eps = p["lr_decay"], p["eps"]
    elif rule.kind == RMSPROP:
        rule.a, rule.b, rule.eps, rule.flag = p["alpha"], p["momentum"], p["eps"], p["centered"]
    elif rule.kind == ADAM or rule.kind == ADAMW:
        (rule.a, rule.b), rule.eps = p["betas"], p["eps"]
        if rule.kind == ADAMW:
            rule.decay = p["weight_decay"]
    else:
        raise NotImplementedError(f"the kernel has no formula for the optimizer {name}")
    return rule


cdef int remembers(Rule* rule, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t size) except -1:
    # ValueError where a state does not hold what a rule keeps of `size` parameters.
    cdef Py_ssize_t wanted
    if rule.kind == SGD:
        wanted = 0 if rule.a == 0 else 1
    elif rule.kind == ADAGRAD:
        wanted = 1
    elif rule.kind == RMSPROP:
        wanted = 3 if rule.flag else 2 if rule.b > 0 else 1
    else:
        wanted = 2
    if rows < wanted or (wanted > 0 and columns != size):
        raise ValueError(f"state has shape ({rows}, {columns}), wanted at least {wanted} rows of {size} numbers")
    return 0


cdef inline void follow(Rule* rule, floating* w, const floating* gradient, floating* state, Py_ssize_t stride, Py_ssize_t size,
                        double lr, double step) noexcept nogil:
    # Step number `step` (from 1) of `size` parameters w along their gradient. state: rows of `stride`, as many as the kind
    # keeps (gdcore.optimizers says which).
    cdef floating *s0 = state
    cdef floating *s1 = state + stride
    cdef floating *s2 = state + 2 * stride
    cdef double a = rule.a, b = rule.b, eps = rule.eps, g, v, m, rate = lr, root
    cdef bint flag = rule.flag
    cdef Py_ssize_t j
    if rule.kind == SGD:
        if a == 0:
            # w ← w − lr·g
            for j in range(size):
                w[j] = stepped(w[j], gradient[j], lr, rule.rounding)
        else:
            # buf ← momentum·buf + g (g at first); w ← w − lr·buf, with Nesterov w − lr·(g + momentum·buf)
            for j in range(size):
                g = rounded(gradient[j], rule.rounding)
                v = a * s0[j] + g if step > 1 else g
                s0[j] = <floating>v
                w[j] = rounded(<floating>(w[j] - lr * (g + a * v if flag else v)), rule.rounding)
        return
    if rule.kind == ADAGRAD:
        # sum ← sum + g²;  w ← w − lr/(1 + (t − 1)·lr_decay)·g/(√sum + eps)
        rate = lr / (1 + (step - 1) * a)
        for j in range(size):
            g = rounded(gradient[j], rule.rounding)
            v = s0[j] + g * g
            s0[j] = <floating>v
            w[j] = rounded(<floating>(w[j] - rate * g / (sqrt(v) + eps)), rule.rounding)
    elif rule.kind == RMSPROP:
        # v ← α·v + (1 − α)·g²;  centered: m ← m + (1 − α)·(g − m), v − m² instead of v
        # w ← w − lr·g/(√v + eps), with momentum: buf ← momentum·buf + g/(√v + eps), w ← w − lr·buf
        for j in range(size):
            g = rounded(gradient[j], rule.rounding)
            v = a * s0[j] + (1 - a) * g * g
            s0[j] = <floating>v
            if flag:
                m = s2[j] + (1 - a) * (g - s2[j])
                s2[j] = <floating>m
                v = v - m * m
            m = g / (sqrt(v) + eps)
            if b > 0:
                m = b * s1[j] + m
                s1[j] = <floating>m
            w[j] = rounded(<floating>(w[j] - lr * m), rule.rounding)
    else:
        # m ← m + (1 − β₁)·(g − m);  v ← β₂·v + (1 − β₂)·g²
        # w ← w − lr/(1 − β₁ᵗ)·m/(√v/√(1 − β₂ᵗ) + eps);  AdamW first: w ← w·(1 − lr·weight_decay)
        rate = lr / (1 - pow(a, step))
        root = sqrt(1 - pow(b, step))
        for j in range(size):
            g = rounded(gradient[j], rule.rounding)
            m = s0[j] + (1 - a) * (g - s0[j])
            v = b * s1[j] + (1 - b) * g * g
            s0[j] = <floating>m
            s1[j] = <floating>v
            w[j] = rounded(<floating>(w[j] * (1 - lr * rule.decay) - rate * m / (sqrt(v) / root + eps)), rule.rounding)


cdef struct Box:
    # Between which bounds each weight stays; NULL: there are none.
    const double *low
    const double *high


cdef inline void shrink(floating* w, Py_ssize_t size, double threshold, Box box) noexcept nogil:
    # The proximal step: every weight moves `threshold`, that of l1, towards 0 and stops there, and then stays within bounds.
    cdef double v
    cdef Py_ssize_t j
    if threshold > 0:
        for j in range(size):
            v = fabs(w[j]) - threshold
            w[j] = 0 if v <= 0 else <floating>(v if w[j] > 0 else -v)
    if box.low != NULL:
        for j in range(size):
            v = w[j]
            w[j] = <floating>(box.low[j] if v < box.low[j] else box.high[j] if v > box.high[j] else v)
