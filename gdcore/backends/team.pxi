# How a pass is cut into chunks, and who does them: threads and signals; included by kernel.pyx.

cdef int signalled() noexcept with gil:
    return PyErr_CheckSignals() != 0


cdef inline bint abandoned(Team* team, Scratch* own, Py_ssize_t work) noexcept nogil:
    # True when the pass is to be left. The calling thread looks for signals (Ctrl-C) every 50 ms; it looks at the clock
    # once in CLOCK_WORK multiply-adds, which costs nothing.
    own.unchecked += work
    if own.unchecked > CLOCK_WORK:
        own.unchecked = 0
        look_for_signals(team, own.number)
    return gdcore_raised(&team.stop)


cdef void look_for_signals(Team* team, int number) noexcept nogil:
    if number == 0 and not gdcore_raised(&team.stop) and seconds() - team.checked > 0.05:
        if signalled():
            gdcore_raise(&team.stop)
        team.checked = seconds()


cdef void cut(Pass* t) noexcept nogil:
    # How the rows are cut: by d, k, the dtype and the order of visiting alone, so that the sums depend neither on the threads
    # nor, where a table comes in pieces of whole chunks, on the pieces.
    cdef Py_ssize_t item = 8 if t.wide else 4, unit, p = t.d + t.y_columns, least
    cdef Scratch own
    t.direct = t.x_column == item or t.d == 1
    t.columns = not t.direct and t.order == NULL and t.job in (PREDICT, LOSS, GRADIENT) and llabs(t.x_row) < llabs(t.x_column)
    t.parted = t.columns and not t.wide and t.d > LONG
    t.turned = t.d * item <= LINE and not t.columns
    t.span = max(1, SPAN // (t.d * item))
    t.block = COLUMN_ROWS if t.columns else PANEL if t.turned else 4 * max(1, min(32, BLOCK // (4 * t.d * item)))
    unit = PANEL if t.d * item <= LINE else 4 * t.span
    least = CHUNK_ROWS * max(t.k, 1)    # a chunk's sums stay small beside its rows: width / (rows · d) under 2 %
    if t.job == MOMENTS:
        # One panel after the other stays in cache; a chunk's sums are added in less than a tenth of the time they took.
        t.block = PANEL if p <= MANY else 2 * PANEL
        unit, least = 2 * PANEL, MOMENT_ROWS if p <= MANY else MOMENT_ROWS // 2
    least = max(least, CHUNK // (t.d * item))
    t.chunk_rows = (least + unit - 1) // unit * unit
    if t.columns:
        # whole chunks of rows, so that pieces of either order are cut alike
        t.chunk_rows *= (COLUMN_ROWS + t.chunk_rows - 1) // t.chunk_rows
    t.chunks = (t.n + t.chunk_rows - 1) // t.chunk_rows
    t.width = 1 if t.job == READ else 2 + t.k + (t.k * t.d if t.job == GRADIENT else 0)
    if t.job == MOMENTS:
        t.width = 2 + p + p * p
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
        if chunk >= t.chunks or gdcore_raised(&team.stop):
            break
        low = t.first + chunk * t.chunk_rows
        high = min(low + t.chunk_rows, t.first + t.n)
        memset(own.sums, 0, t.width * sizeof(double))
        if t.job == READ:
            if t.wide:
                read_chunk[double](t, low, high, &own, team, NULL)
            else:
                read_chunk[float](t, low, high, &own, team, NULL)
        elif t.job == MOMENTS:
            if t.wide:
                moments_chunk[double](t, &own, low, high, team, NULL)
            else:
                moments_chunk[float](t, &own, low, high, team, NULL)
        elif t.columns:
            if t.wide:
                column_chunk[double](t, &own, low, high, team, NULL)
            else:
                column_chunk[float](t, &own, low, high, team, NULL)
        elif t.turned:
            if t.wide:
                turned_chunk[double](t, &own, low, high, team, NULL)
            else:
                turned_chunk[float](t, &own, low, high, team, NULL)
        elif t.wide:
            stream_chunk[double](t, &own, low, high, team, NULL)
        else:
            stream_chunk[float](t, &own, low, high, team, NULL)
        if t.job == MOMENTS:
            add_in_turn(team, &own, chunk)
        else:
            memcpy(t.sums + chunk * t.width, own.sums, t.width * sizeof(double))
    if number == 0:
        team.unchecked = own.unchecked


cdef void add_in_turn(Team* team, Scratch* own, Py_ssize_t chunk) noexcept nogil:
    # A chunk's sums are added to those of the chunks before it once these have been: p² numbers a chunk are not kept.
    if team.size > 1:
        pthread_mutex_lock(&team.mutex)
        while team.turn != chunk and not gdcore_raised(&team.stop):
            wait_a_while(team, &team.turned, own.number)
        pthread_mutex_unlock(&team.mutex)
    if gdcore_raised(&team.stop):
        return
    if chunk == 0 and team.work.carried == NULL:
        memcpy(team.work.sums, own.sums, team.work.width * sizeof(double))
    else:
        add_sums(team.work, team.work.carried if chunk == 0 else team.work.sums, own.sums)
    if team.size > 1:
        pthread_mutex_lock(&team.mutex)
        team.turn = chunk + 1
        pthread_cond_broadcast(&team.turned)
        pthread_mutex_unlock(&team.mutex)


cdef void add_sums(Pass* t, const double* before, const double* own) noexcept nogil:
    # t.sums = those of the rows before + those of a chunk
    cdef Py_ssize_t j
    for j in range(t.job == MOMENTS, t.width):
        t.sums[j] = before[j] + own[j]
    if t.job == MOMENTS:
        t.sums[0] = own[0] if not before[0] >= own[0] and before[0] == before[0] else before[0]     # the largest; NaN wins


cdef void wait_a_while(Team* team, pthread_cond_t* condition, int number) noexcept nogil:
    # Waits for a condition, the mutex held, for 50 ms at most; the calling thread looks for signals then.
    cdef timespec until
    clock_gettime(CLOCK_REALTIME, &until)
    until.tv_nsec += 50000000
    if until.tv_nsec >= 1000000000:
        until.tv_nsec -= 1000000000
        until.tv_sec += 1
    if pthread_cond_timedwait(condition, &team.mutex, &until) == ETIMEDOUT:
        pthread_mutex_unlock(&team.mutex)
        look_for_signals(team, number)
        pthread_mutex_lock(&team.mutex)


cdef void* helper_main(void* argument) noexcept nogil:
    cdef Team* team = (<Helper*>argument).team
    cdef Py_ssize_t seen = 0
    while True:
        pthread_mutex_lock(&team.mutex)
        while team.round == seen and not gdcore_raised(&team.quit):
            pthread_cond_wait(&team.begin, &team.mutex)
        seen = team.round
        pthread_mutex_unlock(&team.mutex)
        if gdcore_raised(&team.quit):
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
    cdef Py_ssize_t chunk
    team.next_chunk = team.turn = 0
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
            wait_a_while(team, &team.end, 0)
        pthread_mutex_unlock(&team.mutex)
    if gdcore_raised(&team.stop):
        return INTERRUPTED
    if t.job != MOMENTS:
        if t.carried != NULL:
            add_sums(t, t.carried, t.sums)
        for chunk in range(1, t.chunks):
            add_sums(t, t.sums, t.sums + chunk * t.width)
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
        if t.n * t.d * (t.d if t.job == MOMENTS else max(t.k, 1)) < SHARED_WORK:
            team.size = 1
        t.sums = <double*>malloc((1 if t.job == MOMENTS else t.chunks) * t.width * sizeof(double))
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
            pthread_cond_init(&team.turned, NULL)
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
            gdcore_raise(&self.team.quit)
            pthread_cond_broadcast(&self.team.begin)
            pthread_mutex_unlock(&self.team.mutex)
            for i in range(1, self.started):
                pthread_join(self.team.threads[i], NULL)
            pthread_mutex_destroy(&self.team.mutex)
            pthread_cond_destroy(&self.team.begin)
            pthread_cond_destroy(&self.team.end)
            pthread_cond_destroy(&self.team.turned)
        free(self.work.sums)
        free(self.memory)
        free(self.team.threads)
        free(self.helpers)
