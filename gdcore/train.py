"""The loop: forward, loss, gradient, update. `fit` is the loop; `train` is fit seen through the textbook's window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gdcore import losses
from gdcore.descent.options import Options
from gdcore.models.linear import Linear
from gdcore.run import Run
from gdcore.training import offsets
from gdcore.training.run import run

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array, ArrayLike, Path, ProgressBar
    from gdcore.models.mlp import MLP
    from gdcore.optimizers import Optimizer
    from gdcore.rows.tables import Table
from gdcore.run import Checkpoint, Epoch


def fit(
    X: ArrayLike | Table,
    Y: ArrayLike | None = None,
    model: Linear | MLP | None = None,
    loss: str | losses.Loss = "mse",
    optimizer: str | Optimizer | None = None,
    lr: float | str = "auto",
    epochs: int | list[int] = 1000,
    *,
    batch_size: int | None = None,
    l1: float = 0.0,
    l2: float = 0.0,
    sample_weight: ArrayLike | None = None,
    validation: tuple[ArrayLike, ...] | Table | None = None,
    schedule: Callable[[int], float] | None = None,
    precondition: str | None = "auto",
    method: str = "auto",
    tol: float | None = None,
    patience: int | None = None,
    shuffle: bool = True,
    seed: int = 0,
    callback: Callable[[Epoch], Any] | None = None,
    decimals: int | None = None,
    backend: str = "kernel",
    n_threads: int | None = None,
    checkpoint: Path | Checkpoint | None = None,
    resume: bool = False,
    progress: bool | Callable[..., ProgressBar] = False,
    on_divergence: str = "raise",
    keep_weights: bool = False,
    verbose: bool | str = False,
    delta: float | None = None,
    tau: float | None = None,
    power: float | None = None,
    bounds: tuple[ArrayLike, ArrayLike] | None = None,
    offset: ArrayLike | None = None,
) -> Run:
    """Trains a model by gradient descent: forward, loss, gradient, update, ``epochs`` times.

    Parameters
    ----------
    X : array (n, d), float32 or float64
        One row a sample, in any memory layout; never copied. Integers and booleans become float64. Or a
        `gdcore.rows.tables.Table`, as `gdcore.open_table` gives, which comes in pieces and brings Y and sample_weight with
        it. Or Dask's: see `gdcore.distributed`.
    Y : array (n,) or (n, k)
        Targets; for logistic 0 and 1, or shares between them; for softmax (n,) classes 0 … k − 1; for poisson and tweedie 0 or
        more, for gamma above 0.
    model : Linear or MLP, optional
        Where to start; it is not changed. Default: a `Linear` of zeros with a bias, in the shape of the data.
    loss : str or Loss
        A name in `gdcore.losses.LOSSES`; with a parameter "huber:2.0" and "quantile:0.9", or what `gdcore.losses` makes,
        ``gdcore.losses.huber(delta=2.0)``, or a name and ``delta``, ``tau`` or ``power``.
    optimizer : str or Optimizer, optional
        A name in `gdcore.optimizers.OPTIMIZERS`, "nesterov" or "newton"; or, with parameters, for example
        ``gdcore.Adam(betas=(0.9, 0.99))``. Default: with a number for lr plain gradient descent, W ← W − lr·∇W; with "auto"
        for mse without l1 and bounds `Nesterov` in its own metric, else `Newton` where it can be, `Nesterov` or plain gradient
        descent.
    lr : float or "auto"
        A number: the textbook's learning rate, and every step is the textbook's. "auto": gdcore chooses. For a linear model
        and all rows at once, Newton's method, which needs no scaling and no tuning, and ends in few epochs with a proof
        (`gdcore.solvers.newton`); squared error without l1 and bounds is solved from its second moments; with more than
        2,048 columns, or of softmax k·(columns + 1) above 2,049, Nesterov's descent in the metric of ``precondition``. With
        another optimizer 1/λmax of the `spectrum`, for batches 1/L_b, the expected smoothness; for mae and quantile steps that
        decrease as 1/√t; for networks by backtracking; for Adagrad, RMSprop, Adam and AdamW PyTorch's defaults, 0.01 or 0.001.
        What was used is in ``history.lr``.
    epochs : int, or list of int with method "exact"
        Passes over the data, ≥ 0; a list: the epochs that the history shall have, the last of them the end.
    batch_size : int, optional
        Rows per update, 1 … n; the last batch of an epoch may be smaller. Default: all rows.
    l1, l2 : float
        Penalties l1·‖W‖₁, by its proximal step, and (l2/2)·‖W‖²; never on a bias.
    sample_weight : array (n,), optional
        Weights s ≥ 0 of the rows; the loss is then Σ sᵢℓᵢ / Σ sᵢ.
    validation : (Xv, Yv), (Xv, Yv, sv) or Table, optional
        Rows that do not train, with weights sv where they have some; beside a table another one with the same columns, as
        ``table.held_out``; their loss, without penalties, after each epoch is in
        ``history.validation_loss``.
    schedule : callable, optional
        The factor on lr in epoch 0, 1, … since the first start (a resumed run goes on counting): see `gdcore.schedules`.
        Not for networks with lr="auto" and all rows, whose lr is found by trying.
    precondition : {"auto", None, "diagonal", "gram"}
        The metric H of the steps W ← W − lr·H⁻¹∇ (`gdcore.facts.metric`): "gram" the data's second moments, times the bound of
        the loss's curvature, "diagonal" only the columns' spreads. "auto": with lr="auto", all rows and a linear model "gram"
        up to 2,048 columns, else "diagonal"; in all other cases None, plain gradients. With lr="auto", and no optimizer named,
        "auto" and "gram" are Newton's method but for mse without l1 and bounds; its H is the Hessian where the weights are.
        Weights, bias and penalties stay in the units of the data.
    method : {"auto", "stream", "gram", "exact"}
        "stream": every epoch goes over the rows. "gram", for mse and all rows: over their second moments, so that an epoch
        costs d² whatever n is. "exact", for plain or momentum SGD at constant lr: any number of epochs by formula; the
        history has each of up to 10,000 epochs, of more 1,000 ever sparser ones. "auto" takes the cheapest, counting
        2·n·d multiply-adds an epoch, n·p²/8 for second moments of p = d + k + 1 columns, 2·p² for an epoch on them, 12·p³
        for eigenvectors, where streaming would take more than 10⁸ and twice the other's; never where ``decimals``,
        ``callback`` or ``tol`` want every epoch as it is. ``run.method`` says which and why. A resumed run keeps it, however
        many epochs it goes on for. A method that is asked for and cannot be is an error.
    tol : float, optional
        Stop, with status "converged", when loss − best loss is proved to be at most tol·loss (``run.gap``). Where nothing can
        be proved, with more than 2,048 columns or a loss without a conjugate, when ½·∇ᵀH⁻¹∇ ≤ tol·loss in the metric of
        ``precondition``, without one in that of the data; of networks when the gradient's norm is at most tol. mae and
        quantile without a metric go on: a slope that jumps does not become small.
        Default: with lr="auto" 1e-10 (float32 1e-6), of mae and quantile 1e-8 by Newton's method and 1e-4 else, and then on
        while an epoch makes what is left to gain more than 100 times smaller, for mse until rounding ends progress; with a
        number for lr never. With batches this costs one more pass an epoch.
    patience : int, optional
        Stop when the validation loss has not fallen for so many epochs; the status is then "early_stopped". The model
        kept is the best on the validation data, whatever ends the run.
    shuffle : bool
        Whether batches are drawn anew every epoch, by ``seed``, or follow the order of the rows.
    seed : int
        ≥ 0; the same seed gives the same bits.
    callback : callable, optional
        Called after each epoch with an `Epoch` (epoch, loss, validation_loss, gradient_norm, model, gradient, of networks
        layer by layer); returning True stops, and the status is then "early_stopped".
    decimals : int, optional
        Round gradients and weights to this many decimals in every update, as np.round does.
    backend : {"kernel", "reference"}
        Cython or NumPy.
    n_threads : int, optional
        For the kernel; the result is the same, bit for bit, for any number. Default: see `gdcore.threads`.
    checkpoint : path or Checkpoint, optional
        A file that keeps the run, written every 30 seconds, or as often as a `gdcore.Checkpoint` says, on Ctrl-C and at the
        end, while training goes on (`pip install 'gdcore[files]'`). A file that is there is not touched without ``resume``.
    resume : bool
        Go on from the checkpoint, where there is one: the result is that of a run that was never interrupted, bit for bit,
        ``seconds`` excepted. ``epochs`` counts all epochs since the first start; a run that had ended, with so many, converged
        or early_stopped, is given back as it was. Options and data must be those of the first start; n_threads, callback,
        progress and epochs may change.
    progress : bool, or a class like tqdm.tqdm
        True: a progress bar on stderr (`pip install 'gdcore[cli]'`).
    on_divergence : {"raise", "keep"}
        "keep", to watch a divergence: the epochs go on until they are done or a loss is not finite, and the run comes back
        with the status "diverged" and its whole history, in the place of a `DivergenceError`.
    keep_weights : bool
        Keep the model of the start and of each epoch in ``run.models``, for `gdcore.plots.path`; not with a checkpoint, whose
        file does not hold them.
    verbose : bool or "shapes"
        Print every epoch, as `train` does; of a network layer by layer, of batches and tables what there is of it. "shapes":
        print once, before the first epoch, every line of the loop with the shapes of its parts.
    delta, tau, power : float, optional
        The parameter of "huber", of "quantile", of "tweedie".
    bounds : (low, high), optional
        Of a linear model's weights, each a number or one a column (d,), −∞ or ∞ where there is no bound; never of a bias. They
        are rounded to X's dtype, and the weights keep within them in every epoch: each step ends with what is nearest in them.
        Zeros start from what is nearest to them; a ``model`` outside is refused.
    offset : array (n,), or (n, k) beside such targets, optional
        What is added to the linear predictor of each row, XW + b + offset, as the logarithm of an exposure for counts. For
        arrays, linear models, and losses of numbers; with poisson, gamma and tweedie for lr="auto". The loss is that of the
        rows with their offsets; ``run.model.predict(X, offset=o)`` wants them again.

    Returns
    -------
    Run
        With the trained ``model``, ``history``, ``status``. Ctrl-C ends the run after its last whole epoch, with status
        "interrupted", also in the passes after the last one. It is answered in some tenths of a second, but for LAPACK:
        inverse and eigenvectors of 2,048 columns take up to two seconds each, which nothing ends early.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, what was found and what is wanted.
    DivergenceError
        The loss left the finite numbers, or with an lr past its limit climbed above that of the all-zero model and that of the
        start; the run up to then is its ``.run``.

    Warns
    -----
    LearningRateWarning
        Before the first epoch, where the lr is past its limit: 2/λmax, for batches 2/L_b, in a metric 2
        (`gdcore.training.limits`). It is found exactly where that costs less than a quarter of the epochs, else from some
        thousand rows.
    DivergenceWarning
        The run has ended above the loss of the all-zero model, and above that of its start, where no limit was known.
    ConditionWarning
        With lr="auto" and no penalty: columns of X are sums of others, which it names, or so nearly that their weights cannot
        be told apart.
    SeparationWarning
        With lr="auto": the classes are separated, so that there are no best weights.
    UniquenessWarning
        Of mae and quantile without a penalty: the least loss is that of other weights too.
    ConvergenceWarning
        With a tol, its default included: the epochs ended, or no step lowered the loss any more, before the loss was proved to
        be within tol of the best one.
    LabelWarning
        For softmax, without a model: between 0 and the largest class of Y there is one that no row has.
    ScaleWarning
        Of networks: columns of X, or Y, are far from size 1.
    PrecisionWarning
        X or Y has integers that float64 does not hold.
    SpeedWarning
        The kernel does not know a loss or an optimizer of your own, so that NumPy runs.
    CheckpointWarning
        The checkpoint could not be written; training goes on without. Or it comes from another CPU or another version, whose
        last bits differ.

    Notes
    -----
    ``history.loss`` is that of all rows after the epoch, penalties included. With batches, and without ``tol``, it is the
    mean of the batches' losses, each at the weights that it met, which costs no pass of its own; ``history.gradient_norm``
    is then NaN.

    Daemon threads must not fit tables: where the program ends meanwhile, the interpreter stops such a thread anywhere, and
    within pyarrow that aborts the process.

    Examples
    --------
    >>> import gdcore
    >>> X, Y = [[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]
    >>> run = gdcore.fit(X, Y)
    >>> run.model.weights.round(6), round(float(run.model.bias), 6), run.status
    (array([2.]), 1.0, 'converged')
    >>> gdcore.fit(X, Y, lr=0.2, epochs=500).model.weights.round(6)         # the textbook's loop
    array([2.])
    >>> gdcore.fit(X, Y, lr=0.2, epochs=[1, 10**9], method="exact").history.epoch
    array([         1, 1000000000])
    """
    chosen = losses.get(loss, delta=delta, tau=tau, power=power)
    options = Options(
        lr, chosen, optimizer, batch_size, l1, l2, sample_weight, validation, schedule,
        precondition, method, tol, patience, shuffle, seed, callback, decimals, backend, n_threads, progress, on_divergence,
        keep_weights, verbose, bounds,
    )  # fmt: skip
    keeper = None
    if checkpoint is not None or resume is not False:
        if keep_weights:
            raise ValueError("keep_weights goes without a checkpoint, whose file holds the last weights only")
        from gdcore.training import checkpoints  # importing gdcore shall take no longer for it

        keeper = checkpoints.keeper(checkpoint, resume)
    if offset is not None:
        return offsets.fit(offset, X, Y, model, options, epochs, keeper)
    return run(X, Y, model, options, epochs, keeper)


def train(
    X: ArrayLike,
    Y: ArrayLike,
    weights: ArrayLike,
    lr: float | str,
    epochs: int,
    decimals: int | None = None,
    verbose: bool | str = False,
    *,
    loss: str | losses.Loss = "mse",
    delta: float | None = None,
    tau: float | None = None,
    power: float | None = None,
) -> Array:
    """The loop of the textbook: forward, loss, gradients = −2·Xᵀ(Y − Ŷ)/n, weights −= lr·gradients, ``epochs`` times.

    Parameters
    ----------
    X : array (n, d)
        One row a sample; for a bias, one column of ones.
    Y : array (n,) or (n, k)
        Targets, of the shape that X @ weights has.
    weights : array (d,) or (d, k)
        Where to start; not changed.
    lr : float or "auto"
        Learning rate. "auto": 1/λmax of the `spectrum`, half the rate from which on the loop diverges; of mae and quantile,
        whose slopes jump, one that decreases as 1/√epoch. The loop is the same, but it ends where rounding leaves nothing to
        gain.
    epochs : int
        How often to go through the data.
    decimals : int, optional
        Round gradients and weights in every epoch, as np.round does. A value halfway between two roundings is decided by
        its last bit, so this runs on the NumPy backend, whose operations are the textbook's own.
    verbose : bool or "shapes"
        Print every epoch, one labelled line each: epoch; prediction, target and difference of the first five samples;
        loss; gradients; weights after the update; new prediction; new loss. This too runs on the NumPy backend, so that
        the last bits may be others than without it. "shapes": print once, before the first epoch, every line of the loop
        with the shapes of its parts, forward above backward; they are the same in every epoch.
    loss, delta, tau, power
        Another loss than mse, as for `fit`: the gradients are its own.

    Returns
    -------
    array
        The trained weights, in the shape of ``weights`` and the dtype of X.

    Raises
    ------
    ValueError, TypeError, DivergenceError
        As `fit`. KeyboardInterrupt on Ctrl-C.

    Examples
    --------
    >>> import gdcore
    >>> X, Y, weights = [[1.0], [2.0], [3.0]], [[2.0], [4.0], [6.0]], [[0.0]]
    >>> gdcore.train(X, Y, weights, lr=0.1, epochs=20)
    array([[2.]])
    >>> _ = gdcore.train(X, Y, weights, lr=0.1, epochs=1, decimals=3, verbose=True)  # doctest: +ELLIPSIS
    epoch: 1
    prediction: [0. 0. 0.]
    target: [2. 4. 6.]
    difference: [2. 4. 6.]
    loss: 18.66666666666666...
    gradients: [-18.667]
    weights: [1.867]
    new prediction: [1.867 3.734 5.601]
    new loss: 0.082548666666666...
    >>> _ = gdcore.train(X, [2.0, 4.0, 6.0], [0.0], lr=0.1, epochs=1, verbose="shapes")
    shapes in an epoch: 3 rows, 1 column
    forward   Ŷ = X·W         (3,) = (3, 1)·(1,)
              R = Ŷ − Y       (3,) = (3,) − (3,)
              L = mean of r²  () = mean over 3 rows of (3,)
    backward  ∂L/∂Ŷ = (2r)/n  (3,) = (3,)/()
              ∇W = Xᵀ·∂L/∂Ŷ   (1,) = (1, 3)·(3,)
    update    W = W − lr·∇W   (1,) = (1,) − ()·(1,)
    """
    backend = "kernel" if decimals is None and (verbose == "shapes" or not verbose) else "reference"
    run = fit(
        X, Y, Linear(weights, None), loss, "sgd", lr, epochs, decimals=decimals, verbose=verbose, backend=backend,
        method="stream", tol=0.0 if isinstance(lr, str) else None, delta=delta, tau=tau, power=power,
    )  # fmt: skip
    if run.status == "interrupted":
        raise KeyboardInterrupt
    trained: Array = run.model.weights
    return trained
