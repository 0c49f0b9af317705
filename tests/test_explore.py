"""The page on which a descent is watched: its numbers are fit's, its controls do what they say, and it asks for nothing."""

import json
import re
import warnings
from pathlib import Path

import browsing
import numpy as np
import pytest

import gdcore
from gdcore import SGD, Linear, explore, fit, spectrum
from gdcore.rows.tables import Piece, Table

RNG = np.random.default_rng(4)
x = RNG.normal(3.0, 1.5, size=40)
Y = 2.5 * x - 4 + RNG.normal(size=40)
X = x[:, None]
CELSIUS = np.arange(0.0, 101.0, 20.0)[:, None]
FAHRENHEIT = 1.8 * CELSIUS[:, 0] + 32
EVIL = '</script><script>window.ran = 1</script><img src=x onerror="window.ran = 1">&amp;\'"\u202e\u2028<!--'
DOCS = Path(__file__).parent.parent / "docs"
WRITTEN = [(False, False), (True, False), (False, True), (True, True)]  # centred, scaled

needs_browser = pytest.mark.skipif(browsing.BROWSER is None, reason="there is no chromium or chrome on PATH")


def facts(path):
    """What a page is given."""
    return json.loads(re.search(r'<script id="given"[^>]*>(.*?)</script>', path.read_text("utf-8"), re.DOTALL)[1])


@pytest.fixture
def page(tmp_path):
    """Writes a page; its path."""

    def made(X=X, Y=Y, **options):
        explore(X, Y, tmp_path / "page.html", **options)
        return tmp_path / "page.html"

    return made


# What it is given -----------------------------------------------------------------------------------------------------------


def test_a_column_is_its_mean_its_variance_and_the_best_line(page):
    given = facts(page(names=["area"], target="price"))
    [column] = given["columns"]
    slope, level = np.polyfit(x, Y, 1)
    assert (given["target"], given["rows"], given["weighted"], given["left"], column["name"]) == (
        "price",
        40,
        False,
        0,
        "area",
    )
    expected = {
        "mean": x.mean(),
        "variance": x.var(),
        "slope": slope,
        "level": Y.mean(),
        "best": np.mean((Y - slope * x - level) ** 2),
    }
    assert {name: column[name] for name in expected} == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(column["values"], x, atol=1e-4 * np.ptp(x))
    np.testing.assert_allclose(given["values"], Y, atol=1e-4 * np.ptp(Y))


def test_of_many_rows_a_sample_is_drawn_and_all_count(page, tmp_path):
    many = RNG.normal(5, 2, size=200_000)  # in more than one block
    target = 3 * many + RNG.normal(size=len(many))
    given = facts(page(many[:, None], target))
    assert len(given["values"]) == len(given["columns"][0]["values"]) == 300
    assert given["rows"] == 200_000
    assert given["columns"][0]["mean"] == pytest.approx(many.mean(), rel=1e-12)
    assert given["columns"][0]["slope"] == pytest.approx(np.cov(many, target)[0, 1] / many.var(ddof=1), rel=1e-11)
    assert (tmp_path / "page.html").stat().st_size < 60_000


def test_the_column_that_tells_most_comes_first_or_the_one_that_is_named(page):
    noise = RNG.normal(size=(40, 15)) * 1000
    table = np.column_stack([noise, np.full(40, 7.0), x])
    names = [f"c{j}" for j in range(15)] + ["constant", "x"]
    given = facts(page(table, Y, names=names))
    assert given["columns"][0]["name"] == "x"
    assert (len(given["columns"]), given["left"]) == (12, 4)  # of 16 that vary
    order = np.argsort([-abs(np.corrcoef(table[:, names.index(c["name"])], Y)[0, 1]) for c in given["columns"]])
    np.testing.assert_array_equal(order, range(12))
    assert facts(page(table, Y, names=names, column="c3"))["columns"][0]["name"] == "c3"
    assert [column["name"] for column in facts(page(table, Y, column=2))["columns"]][:2] == ["column 2", "column 16"]


def test_a_frame_and_a_table_bring_their_names(page, tmp_path):
    pandas, _ = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"area": x, "zip": np.arange(40)})
    of_frame = facts(page(frame, pandas.Series(Y, name="price")))
    assert (of_frame["target"], [column["name"] for column in of_frame["columns"]]) == ("price", ["area", "zip"])
    assert facts(page(frame, pandas.Series(Y, name="")))["target"] == "y"
    frame.assign(price=Y).to_csv(tmp_path / "t.csv", index=False)
    assert facts(page(gdcore.open_table(tmp_path / "t.csv", "price"), None)) == of_frame


def test_weights_count(page):
    s = RNG.integers(0, 4, size=40).astype(float)
    given, repeated = (
        facts(page(sample_weight=s)),
        facts(page(np.repeat(X, s.astype(int), axis=0), np.repeat(Y, s.astype(int)))),
    )
    assert given["weighted"]
    for name in ("mean", "variance", "slope", "level", "best"):
        assert given["columns"][0][name] == pytest.approx(repeated["columns"][0][name], rel=1e-12)


def test_rows_in_dask_are_refused(page):
    array = pytest.importorskip("dask.array").from_array(X, chunks=(20, 1))
    with pytest.raises(TypeError, match=re.escape("X must be rows at hand, found rows in Dask: X.compute() brings them here")):
        page(array, Y)


def test_what_the_user_names_stays_text(page):
    source = page(names=[EVIL], target=EVIL).read_text("utf-8")
    assert source.count("<script") == source.count("</script>") == 2
    assert "<img" not in source
    assert "\u202e" not in source
    assert facts(page(names=[EVIL], target="y"))["columns"][0]["name"] == EVIL.replace("\u202e", "[U+202E]")


def test_the_page_has_no_address(page):
    source = page().read_text("utf-8")
    assert re.findall(r"https?://[^\"]+", source) == ["http://www.w3.org/2000/svg"]  # a name, which nobody asks for
    assert not re.search(r"\b(src|href|action)=", source)
    assert "default-src 'none'; script-src 'sha256-" in source


class Several(Table):
    names, target_shape, rows = ["a"], (2,), 3

    def blocks(self):
        yield Piece(np.ones((3, 1)), np.ones((3, 2)), None)


@pytest.mark.parametrize(
    ("arguments", "options", "kind", "message"),
    [
        ((x, Y), {}, ValueError, r"X must have shape \(n, d\)"),
        ((X, Y[:-1]), {}, ValueError, "Y must have shape"),
        ((X, np.column_stack([Y, Y])), {}, ValueError, r"Y must have shape \(n,\) or \(n, 1\), found shape \(40, 2\)"),
        ((np.ones((40, 2)), Y), {}, ValueError, "every column of X holds one value only"),
        ((np.column_stack([X, np.ones(40)]), Y), {"column": 1}, ValueError, "column must be one whose values differ"),
        ((X, Y), {"column": 1}, ValueError, "column must be between 0 and 0, found 1"),
        ((X, Y), {"column": "ares", "names": ["area"]}, ValueError, "found 'ares'; there is area"),
        ((X, Y), {"names": ["a", "b"]}, ValueError, "names must be one for each of the 1 columns of X, found 2"),
        ((X, Y), {"names": "area"}, TypeError, "names must be a list of names"),
        ((X, Y), {"target": 3}, TypeError, "target must be a text, found 3"),
        ((X, Y), {"model": 3}, TypeError, "model must be a Linear, found int"),
        ((X, Y), {"model": Linear([1.0, 2.0], 0.0)}, ValueError, "model must be one weight and a bias"),
        ((X, Y), {"model": Linear([1.0], None)}, ValueError, "model must be one weight and a bias"),
        ((np.where(X > 5, np.nan, X), Y), {}, ValueError, r"X\[\d+, 0\] is nan"),
        ((X, np.where(Y > 5, np.inf, Y)), {}, ValueError, r"Y\[\d+\] is inf"),
        ((1e200 * X, Y), {}, ValueError, "the squares of X overflow"),
        ((Several(), None), {}, ValueError, "Y must be one target, found a table with 2"),
        ((Several(), Y), {}, TypeError, "Y must be None beside a table, which brings it, found ndarray"),
        ((Several(), None), {"names": ["a"]}, TypeError, "names must be None beside a table"),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_is_told_and_nothing_is_written(tmp_path, arguments, options, kind, message):
    with pytest.raises(kind, match=message):
        explore(*arguments, tmp_path / "page.html", **options)
    assert not list(tmp_path.iterdir())


# The command ----------------------------------------------------------------------------------------------------------------


def test_the_command_writes_what_the_function_does(gd, page, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)
    rows = [
        "area,town,price,when",
        *(
            f"{float(a)!r},{'ab'[i % 2]},{float(b)!r},2024-01-{i % 28 + 1:02}T10:00"
            for i, (a, b) in enumerate(zip(x, Y, strict=True))
        ),
    ]
    Path("t.csv").write_text("\n".join(rows))
    status, out, err = gd("explore", "t.csv", "--target", "price", "--out", "p.html")
    assert (status, err) == (0, "")
    assert "not used: " in out
    assert out.endswith("page: p.html\n")
    given = facts(tmp_path / "p.html")
    assert [column["name"] for column in given["columns"]] == ["area", "town=b"]
    assert facts(page(X, Y, names=["area"], target="price"))["columns"][0] == given["columns"][0]
    options = "--features", "area,town", "--column", "town=b", "--quiet"
    assert gd("explore", "t.csv", "--target", "price", "--out", "p.html", *options) == (0, "", "")
    assert facts(tmp_path / "p.html")["columns"][0]["name"] == "town=b"
    before = Path("p.html").read_bytes()
    for more, told in (
        (("--target", "town", "--out", "q.html"), "town"),
        (("--target", "price", "--out", "q.png"), "the file's name must end in .html"),
        (("--target", "price", "--out", "t.csv"), "the file's name must end in .html"),
        (
            ("--target", "price", "--out", "p.html", "--column", "ares"),
            "--column must be the number or the name of a column of X",
        ),
    ):
        status, _, err = gd("explore", "t.csv", *more)
        assert (status, told in err, err.count("\n")) == (2, True, 1)
    assert Path("p.html").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.html", "page.html", "t.csv"]


@pytest.mark.skipif(not DOCS.exists(), reason="docs/ does not lie beside tests/")
def test_the_page_in_docs_is_what_the_command_makes(gd, tmp_path):
    pytest.importorskip("pyarrow")
    assert gd("explore", DOCS / "celsius.csv", "--target", "°F", "--out", tmp_path / "celsius.html")[::2] == (0, "")
    assert (tmp_path / "celsius.html").read_bytes() == (DOCS / "celsius.html").read_bytes()
    assert (DOCS / "celsius.html").stat().st_size < 60_000


# The page in a browser ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    tab = browsing.Tab(tmp_path_factory.mktemp("profile"))
    yield tab
    tab.close()


@pytest.fixture
def tab(browser, page):
    """The page, open; a page that has complained fails the test."""
    browser.open(page().as_uri())
    yield browser
    assert browser.complaints() == []


def shown(tab, name):
    """A number of the page's list."""
    return tab.run(
        f"[...document.querySelectorAll('dt')].find((d) => d.textContent.startsWith({name!r})).nextSibling.textContent"
    )


def said(tab):
    return tab.run("document.getElementById('what').textContent")


def centred_and_scaled(x, centred, scaled):
    return (x - x.mean() * centred) / (x.std() if scaled else 1)


@needs_browser
@pytest.mark.parametrize("momentum", [0, 0.5, 0.9])
def test_after_k_epochs_loss_and_weights_are_those_of_fit(browser, page, momentum):
    start, epochs = (0.7, -1.0), [0, 1, 2, 7, 300]
    browser.open(page(model=Linear([start[0]], start[1])).as_uri())
    for centred, scaled in WRITTEN:
        own = centred_and_scaled(x, centred, scaled)[:, None]
        # The same line: w·x + b = w·scale·x′ + (b + w·shift).
        model = Linear([start[0] * (x.std() if scaled else 1)], start[1] + start[0] * x.mean() * centred)
        limit = spectrum(own).lr_limit * (1 + momentum)
        for share in (0.3, 0.9, 1.05):
            at = f"bowl(column(), {json.dumps(centred)}, {json.dumps(scaled)})"
            script = f"{epochs}.map((k) => after({at}, {share * limit!r}, {momentum}, k))"
            for k, found in zip(epochs, browser.run(script), strict=True):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of learning rates past the limit, which are meant
                    run = fit(
                        own, Y, model, optimizer=SGD(momentum=momentum), lr=share * limit, epochs=k, method="stream",
                        on_divergence="keep",
                    )  # fmt: skip
                assert run.epochs == k
                line = np.array([run.model.weights[0], run.model.bias])
                # Each of k steps is rounded; and what rounding leaves of a centred column's mean couples b to w.
                assert found["loss"] == pytest.approx(run.loss, rel=1e-9)
                assert [found["weight"], found["bias"]] == pytest.approx(line, rel=0, abs=1e-9 * np.abs(line).max())


@needs_browser
@pytest.mark.parametrize("momentum", [0, 0.9])
def test_very_many_epochs_are_those_of_the_formula(browser, page, momentum):
    browser.open(page(CELSIUS, FAHRENHEIT).as_uri())
    lr, epochs = 0.9 * spectrum(CELSIUS).lr_limit, [1000, 30_000, 100_000]
    found = browser.run(f"{epochs}.map((k) => after(bowl(column(), false, false), {lr}, {momentum}, k))")
    for k, there in zip(epochs, found, strict=True):
        run = fit(CELSIUS, FAHRENHEIT, optimizer=SGD(momentum=momentum), lr=lr, epochs=k, method="exact")
        assert [there["weight"], there["bias"]] == pytest.approx([run.model.weights[0], run.model.bias], rel=1e-9)


@needs_browser
def test_limit_best_rate_and_epochs_are_those_of_the_spectrum(browser, page):
    for table, target in ((X, Y), (CELSIUS, FAHRENHEIT), (X - 1000, Y), (X * 1e-6, Y)):
        browser.open(page(table, target).as_uri())
        for centred, scaled in WRITTEN:
            s = spectrum(centred_and_scaled(table[:, 0], centred, scaled)[:, None])
            at = f"bowl(column(), {json.dumps(centred)}, {json.dumps(scaled)})"
            script = f"[limitOf({at}, 0), bestOf({at}, 0), {at}.steep.value / {at}.flat.value, limitOf({at}, 0.5)]"
            assert browser.run(script) == pytest.approx([s.lr_limit, s.lr_best, s.condition, 1.5 * s.lr_limit], rel=1e-9)
            for share in (0.1, 0.9, 1.1):
                lr = share * s.lr_limit
                needed = browser.run(f"String(epochsFor3Digits({at}, {lr!r}, 0))")
                wanted = s.epochs_to(1e-3, lr)
                assert float(needed) == pytest.approx(wanted, rel=1e-9, abs=1)  # a whole number, on either side of rounding


@needs_browser
def test_past_its_limit_momentum_grows_and_below_it_shrinks_as_told(tab):
    for momentum in (0, 0.3, 0.9):
        for share in (0.02, 0.4, 0.99, 1.01):
            step = 2 * (1 + momentum) * share
            script = (
                f"[logRate({step}, {momentum}), ...Array.from({{ length: 400 }}, (_, k) => factor({step}, {momentum}, k))]"
            )
            log, *factors = tab.run(script)
            assert (log > 0) == (share > 1)
            early, late = (np.abs(factors[k : k + 50]).max() for k in (100, 300))  # whatever the phase of a swing is
            assert np.log(late / early) / 200 == pytest.approx(log, abs=0.01)


@needs_browser
def test_the_slider_crosses_the_limit(tab):
    assert "past" not in said(tab)
    before = float(shown(tab, "loss").replace(",", ""))
    tab.click("#rate", share=0.97)
    assert float(shown(tab, "lr ÷ limit").replace(",", "")) > 1
    assert said(tab).startswith("lr is past the limit: each step overshoots by more than the last.")
    assert "The path has left the picture" in said(tab)
    assert shown(tab, "epochs for 3 digits") == "never"
    assert tab.run("state.lr > limitOf(current(), 0) && position(current()).loss") > before
    tab.click("#rate", share=0.1)
    assert "lr is far below the limit" in said(tab)
    tab.run("change({ lr: 0.4 * limitOf(current(), 0) })")
    assert "falls short" in said(tab)


@needs_browser
def test_the_limit_is_drawn_where_the_slider_has_it(tab):
    place = "const { left, width } = document.querySelector('ID').getBoundingClientRect(); return "
    thumb = f"(() => {{ {place.replace('ID', '#rate')} left + 12 + (the('rate').value / the('rate').max) * (width - 24); }})()"
    mark = f"(() => {{ {place.replace('ID', '#marks line.limit')} left + width / 2; }})()"
    places = []
    for button in (None, "#centre", "#scale"):
        if button:
            tab.click(button)
        tab.run("change({ lr: limitOf(current(), 0) })")
        places.append(tab.run(thumb))
        assert tab.run(mark) == pytest.approx(places[-1], abs=2.5)  # half a step of the slider, and of the line's width
    assert places[-1] - places[0] > 50  # it has moved to the right
    assert "at the limit" in said(tab)


PLACES = """(() => {
  const plot = (id) => document.getElementById(id);
  const pairs = (shape) => shape.getAttribute("points").split(" ").map((pair) => pair.split(",").map(Number));
  const centre = (mark) => [Number(mark.getAttribute("cx")), Number(mark.getAttribute("cy"))];
  const marks = [...plot("loss").querySelectorAll(".grid text[text-anchor=end]")];
  const ticks = marks.map((mark) => [mark.textContent, Number(mark.getAttribute("y")) - 4]);
  return {
    rim: pairs(plot("surface").querySelector(".rim")), path: pairs(plot("surface").querySelector("polyline.now")), ticks,
    begin: centre(plot("surface").querySelector(".begin")), lowest: centre(plot("surface").querySelector(".lowest")),
    end: centre(plot("surface").querySelector(".end")), loss: centre(plot("loss").querySelector(".end")),
    now: pairs(plot("data").querySelector("polyline.now")), goal: pairs(plot("data").querySelector("polyline.goal")),
    rows: [...plot("data").querySelectorAll(".datum")].map(centre),
  };
})()"""


def of_mark(text):
    """The number at an axis."""
    power = re.fullmatch("10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", text)
    if power is None:
        return float(text.replace(",", ""))
    return 10.0 ** int(power[1].translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")))


def beside(point, outline):
    """How far a point is from a closed line of points."""
    a, b = np.array(outline), np.roll(outline, -1, axis=0)
    along = np.clip(np.sum((point - a) * (b - a), axis=1) / np.sum((b - a) ** 2, axis=1), 0, 1)[:, None]
    return float(np.min(np.hypot(*(point - a - along * (b - a)).T)))


@needs_browser
@pytest.mark.parametrize("written", WRITTEN)
def test_what_is_drawn_lies_where_the_numbers_are(browser, page, written):
    values = np.linspace(1, 6, 40)
    target = 30 * values - 90  # both ends of the best line are in the picture
    browser.open(page(values[:, None], target, model=Linear([2.0], 9.0)).as_uri())
    centred, scaled = map(json.dumps, written)
    browser.run(f"change({{ centred: {centred}, scaled: {scaled}, epochs: 3 }})")
    browser.run("change({ lr: 0.7 * limitOf(current(), 0) })")
    places = browser.run(PLACES)
    assert len(places["path"]) == 4
    assert places["path"][0] == pytest.approx(places["begin"], abs=0.1)
    assert places["path"][-1] == pytest.approx(places["end"], abs=0.1)
    assert beside(places["begin"], places["rim"]) < 0.5  # pixels: the rim is the loss of the start
    np.testing.assert_allclose(np.mean(places["rim"], axis=0), places["lowest"], atol=0.1)
    # Halfway along a straight line from the start to the lowest point the loss above the best is a quarter.
    levels = browser.run("[...document.querySelectorAll('#surface polygon')].map((p) => p.getAttribute('points'))")
    quarter = np.array(
        [pair.split(",") for pair in levels[14].split(" ")], float
    )  # the fourth from within; the rim is the eighth
    assert beside((np.array(places["begin"]) + places["lowest"]) / 2, quarter) < 0.5
    # The loss on its logarithmic axis, by two of its marks.
    marks = [(of_mark(text), y) for text, y in places["ticks"]]
    (low, y_low), (high, y_high) = marks[0], marks[-1]
    share = np.log10(browser.run("position(current()).loss") / low) / np.log10(high / low)
    assert places["loss"][1] == pytest.approx(y_low + share * (y_high - y_low), abs=0.5)
    # The best line goes through the rows, which lie on it; the line of now becomes it.
    (ax, ay), (bx, by) = places["goal"]
    for cx, cy in places["rows"]:
        assert cy == pytest.approx(ay + (cx - ax) * (by - ay) / (bx - ax), abs=0.5)
    assert np.abs(np.array(places["now"]) - places["goal"]).max() > 3
    browser.run("change({ epochs: 1e6 })")
    places = browser.run(PLACES)
    np.testing.assert_allclose(places["now"], places["goal"], atol=0.11)
    assert places["end"] == pytest.approx(places["lowest"], abs=0.1)


@needs_browser
def test_keys_move_the_slider_and_reach_everything(tab):
    tab.run("the('exact').focus()")
    order = []
    for _ in range(14):
        order.append(tab.run("document.activeElement.id"))
        tab.press("Tab", 9)
    controls = ["exact", "rate", "play", "step", "reset", "stride", "small", "best", "past", "centre", "scale", "momentum"]
    assert order[:12] == controls
    tab.run("the('rate').focus()")
    lr = tab.run("state.lr")
    for _ in range(2):
        tab.press("ArrowRight", 39)
    assert 1.005 < tab.run("state.lr") / lr < 1.04  # the first step goes from between two places
    tab.run("the('step').focus()")
    tab.press("Enter", 13, "\r")
    assert shown(tab, "epoch") == "11"
    tab.run("the('momentum').focus()")
    tab.press("End", 35)
    assert tab.run("state.momentum") == 0.99


@needs_browser
def test_a_rate_can_be_typed_and_nonsense_changes_nothing(tab):
    for text, wanted in (("0,01", 0.01), ("1e-3", 0.001), ("zero", 0.001), ("-1", 0.001), ("", 0.001), ("Infinity", 0.001)):
        tab.run(f"the('exact').value = {text!r}; the('exact').dispatchEvent(new Event('change'))")
        assert tab.run("state.lr") == wanted
        assert (tab.run("the('exact').getAttribute('aria-invalid')") == "true") == (text in ("zero", "-1", "", "Infinity"))


@needs_browser
def test_the_buttons_centre_and_scale_the_column_and_move_the_limit(tab):
    first = shown(tab, "loss")
    tab.click("#reset")
    begun = shown(tab, "loss")
    for button, (centred, scaled) in (("#centre", (True, False)), ("#scale", (True, True)), ("#centre", (False, True))):
        tab.click(button)
        limit = spectrum(centred_and_scaled(x, centred, scaled)[:, None]).lr_limit
        assert float(shown(tab, "limit, 2/λmax")) == pytest.approx(limit, rel=1e-3)
        assert tab.run("['centre', 'scale'].map((id) => the(id).getAttribute('aria-pressed'))") == [
            str(centred).lower(), str(scaled).lower(),
        ]  # fmt: skip
        assert shown(tab, "loss") == begun != first  # the same line
    tab.click("#centre")
    tab.click("#best")
    tab.click("#step")
    assert shown(tab, "condition") == "1"
    assert "one step leads to the lowest point" in said(tab)
    best = np.polyfit(x, Y, 1)
    values = shown(tab, "w, b of the column as it is").replace("−", "-").split(", ")
    assert [float(value) for value in values] == pytest.approx(best, rel=1e-5)


@needs_browser
def test_play_goes_on_until_it_is_paused_or_has_arrived(tab):
    wait = "new Promise((done) => { const look = () => (CONDITION ? done(true) : setTimeout(look, 20)); look(); })"
    tab.click("#reset")
    assert shown(tab, "epoch") == "0"
    tab.click("#play")
    assert tab.run(wait.replace("CONDITION", "state.epochs >= 3"))
    assert tab.run("the('play').textContent") == "Pause"
    tab.click("#play")
    paused = tab.run("state.epochs")
    assert tab.run(f"new Promise((done) => setTimeout(() => done(state.epochs), {3 * 100}))") == paused
    assert tab.run("the('play').textContent") == "Play"
    tab.run("the('stride').value = '10000'")
    tab.click("#play")
    assert tab.run(wait.replace("CONDITION", "timer === null"))
    assert "as low as it gets" in said(tab)
    tab.click("#past")
    tab.click("#reset")
    tab.click("#play")
    assert tab.run(wait.replace("CONDITION", "timer === null"))
    assert tab.run("state.epochs") == 10_000
    assert "past all numbers" in said(tab) or "past the limit" in said(tab)


@needs_browser
def test_a_finger_does_what_a_mouse_does(browser, page):
    browser.open(page().as_uri(), width=360, height=740, touch=True)
    for button in ("#step", "#centre", "#past"):
        browser.click(button, touch=True)
    assert shown(browser, "epoch") == "11"
    assert browser.run("state.centred && document.body.classList.contains('past')")
    heights = browser.run("[...document.querySelectorAll('button, select, input')].map((e) => e.offsetHeight)")
    assert [height for height in heights if 0 < height < 44] == []  # pixels that a finger needs; 0 is hidden


@needs_browser
def test_a_divergence_without_end_breaks_nothing(tab):
    for momentum in (0, 0.9):
        for epochs in (100, 20_000, 10**9):
            tab.run(f"change({{ momentum: {momentum}, lr: 50 * limitOf(current(), 0), epochs: {epochs} }})")
            drawn = tab.run("[...document.querySelectorAll('svg')].map((svg) => svg.innerHTML).join()")
            assert "NaN" not in drawn
            assert "Infinity" not in drawn
            assert tab.run("document.querySelector('#surface polyline.now').getAttribute('points').split(' ').length") < 50
            assert max(map(float, re.findall(r"(?<=[ ,\"])\d+\.\d+", drawn))) < 1e6
            assert "past" in said(tab)
    assert "the loss is past all numbers" in said(tab)
    for centred in ("true", "false"):
        tab.run(f"change({{ momentum: 0, lr: Number.MAX_VALUE, epochs: 2, centred: {centred} }})")  # past all numbers at once
        assert "NaN" not in tab.run("document.querySelector('#surface').innerHTML")
    tab.click("#best")
    tab.click("#reset")
    assert shown(tab, "epoch") == "0"


@needs_browser
def test_a_start_at_the_lowest_point_and_other_edges_are_drawn(browser, page):
    line = Linear([1.8], 32.0)
    for table, target, options in (
        (CELSIUS, FAHRENHEIT, {"model": line}), (CELSIUS, np.full(6, 3.0), {}), (CELSIUS * 1e-9, FAHRENHEIT, {}),
        (CELSIUS + 1e9, FAHRENHEIT * 1e12, {}), ([[1.0], [2.0]], [0.0, 0.0], {}),
    ):  # fmt: skip
        browser.open(page(table, target, **options).as_uri())
        for button in ("#step", "#centre", "#scale", "#past", "#step"):
            browser.click(button)
        assert "NaN" not in browser.run("document.body.innerHTML.replace(/<script[^]*/, '')")
        assert browser.complaints() == []


@needs_browser
def test_a_column_is_chosen(browser, page):
    browser.open(page(np.column_stack([x, RNG.normal(size=40) * 100]), Y, names=["area", "noise"]).as_uri())
    assert browser.run("[...the('column').options].map((option) => option.textContent)") == ["area", "noise"]
    browser.run("the('column').value = '1'; the('column').dispatchEvent(new Event('change'))")
    assert shown(browser, "x") == "noise"
    assert browser.run("document.querySelector('h1').textContent") == "The limit, live: y by noise"
    assert "1.1" not in shown(browser, "lr ÷ limit")
    browser.open(page().as_uri())
    assert browser.run("the('choice').hidden")


@needs_browser
def test_a_screen_reader_is_told(tab):
    told = tab.accessible()
    names = {(role, name) for role, name, _ in told}
    assert {
        ("slider", "Learning rate"), ("slider", "Momentum"), ("button", "Play"), ("button", "Step"), ("button", "Reset"),
        ("button", "Centre"), ("button", "Scale"), ("textbox", "Learning rate as a number"), ("combobox", "Epochs a step"),
        ("heading", "The limit, live: y by x"),
    } <= names  # fmt: skip
    pictures = [name for role, name, _ in told if role in ("image", "img")]
    assert [name.split(" ")[0] for name in pictures] == ["Data", "Loss", "Loss"]
    assert "the path from w 0, b 0 to w" in pictures[1]
    value = tab.run("the('rate').getAttribute('aria-valuetext')")
    assert re.fullmatch(r"[\d.]+, 0\.9 of the limit, below the limit", value)


@needs_browser
def test_the_status_is_said_once_things_rest(tab):
    tab.run(
        "window.times = 0; new MutationObserver(() => window.times++).observe(the('said'), { childList: true }); "
        "for (let i = 0; i < 40; i++) { the('rate').value = i; the('rate').dispatchEvent(new Event('input')); }"
    )
    assert tab.run("new Promise((done) => setTimeout(() => done(window.times), 1000))") == 1
    assert tab.run("the('said').textContent === the('what').textContent")
    tab.run("window.times = 0")
    tab.click("#play")
    far = "(state.epochs >= 22 ? done(window.times) : setTimeout(look, 20))"  # longer than the status waits for
    assert tab.run(f"new Promise((done) => {{ const look = () => {far}; look(); }})") == 0
    tab.click("#play")
    assert tab.run("new Promise((done) => setTimeout(() => done(window.times), 1000))") == 1


@needs_browser
@pytest.mark.parametrize("width", [360, 1600])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_and_is_drawn(browser, page, width, dark):
    image = pytest.importorskip("matplotlib.image")
    path = page(np.column_stack([x, x + RNG.normal(size=40)]), Y, names=["a_" * 60, "b"], target="t_" * 60)
    browser.open(path.as_uri(), width, 900, dark)
    assert browser.run("document.documentElement.scrollWidth") <= width
    picture = path.with_suffix(".png")
    for top in (0, 900):
        browser.run(f"window.scrollTo(0, {top})")
        picture.write_bytes(browser.picture())
        pixels = image.imread(picture)[..., :3]
        assert ((pixels[-3, 2] < 0.2) if dark else (pixels[-3, 2] == 1)).all()
        assert np.mean(np.abs(pixels - pixels[-3, 2]).max(axis=2) > 0.3) > 0.01
    assert browser.complaints() == []


@needs_browser
def test_what_is_smuggled_in_does_not_run_and_nothing_is_asked_for(browser, page):
    path = page(np.column_stack([x, x**2]), Y, names=[EVIL, "b"], target=EVIL)
    browser.open(path.as_uri())
    assert browser.run("window.ran === undefined")
    assert browser.complaints() == []
    assert browser.asked() == [path.as_uri()]
    assert browser.run("document.querySelectorAll('img, iframe, link, script:not([id])').length") == 1  # its own script
    assert EVIL.replace("\u202e", "[U+202E]") in browser.run("the('data-told').textContent")
    browser.run("document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.ran = 1' }))")
    browser.run("document.body.insertAdjacentHTML('beforeend', '<img src=\"x.png\" onerror=\"window.ran = 1\">')")
    assert browser.run("fetch('x.json').then(() => 'fetched', () => 'refused')") == "refused"
    assert browser.run("window.ran === undefined")
