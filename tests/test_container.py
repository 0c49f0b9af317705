"""Stored files: what a crash, a full disk or a kill leaves of them.

``GDCORE_KILLS=300 pytest tests/test_container.py -k kill`` kills more often.
"""

import contextlib
import errno
import gc
import io
import itertools
import os
import stat
import textwrap

import numpy as np
import pytest

import gdcore
from gdcore import container
from gdcore.container import FileError, Format, pack, parse, read, replacing, write
from gdcore.store.files import load, save

pytest.importorskip("safetensors")

from test_files import model_of, same

KILLS = int(os.environ.get("GDCORE_KILLS", "30"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


# What an error leaves ----------------------------------------------------------------------------------------------------


class System:
    """The module os, in which one call fails."""

    def __init__(self, function=None, number=0, fail=None):
        self.function, self.number, self.fail, self.calls = function, number, fail, []

    def __getattr__(self, name):
        value = getattr(os, name)
        if name not in ("open", "write", "fsync", "close", "replace", "link", "unlink", "fchmod"):
            return value

        def call(*arguments, **options):
            self.calls.append(name)
            if name == self.function and self.calls.count(name) - 1 in range(self.number, self.number + self.fail.times):
                return self.fail(value, *arguments, **options)
            return value(*arguments, **options)

        return call


class Error:
    times = 1

    def __init__(self, code):
        self.code = code

    def __call__(self, function, *arguments, **options):
        if function is os.close:
            os.close(*arguments)
        raise OSError(self.code, os.strerror(self.code))


class Short:
    """Takes half the bytes, then none."""

    times = 100

    def __init__(self):
        self.code, self.half = errno.ENOSPC, True

    def __call__(self, function, file, data):
        if self.half:
            self.half = False
            return os.write(file, data[: len(data) // 2])
        return 0


def steps():
    """Each call that saving over a file makes, by name and number."""
    folder = os.path.realpath(os.environ.get("TMPDIR", "/tmp"))
    target = os.path.join(folder, f"gdcore-steps-{os.getpid()}")
    real, container.os = container.os, (system := System())
    try:
        write(target, b"old")
        system.calls.clear()
        write(target, b"new")
    finally:
        container.os = real
        os.unlink(target)
    counted = [(name, system.calls[:i].count(name)) for i, name in enumerate(system.calls)]
    return [step for step in counted if step[0] not in ("link", "unlink")]


STEPS = steps()


def test_the_steps_are_in_order():
    assert [name for name, _ in STEPS] == ["open", "fchmod", "write", "fsync", "close", "open", "replace", "fsync", "close"]


@pytest.mark.parametrize("exists", [True, False], ids=["old file", "no old file"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EACCES], ids=errno.errorcode.get)
@pytest.mark.parametrize("function, number", STEPS[:-1])
def test_every_step_failing_leaves_what_was_there(path, monkeypatch, function, number, code, exists):
    if function == "fchmod" and not exists:
        return  # not called
    old, new = model_of("MLP tanh"), model_of("Linear(d)")
    if exists:
        save(old, path)
        before = path.read_bytes(), path.stat().st_ino
    with monkeypatch.context() as patch:
        patch.setattr(container, "os", System(function, number, Error(code)))
        with pytest.raises(OSError) as caught:
            save(new, path)
    assert caught.value.errno == code
    wanted = f"the file was not written (what was there before is unchanged): {os.strerror(code)}: {str(path)!r}"
    assert str(caught.value) == f"[Errno {code}] {wanted}"
    assert os.listdir(path.parent) == ([path.name] if exists else [])
    if exists:
        assert (path.read_bytes(), path.stat().st_ino) == before
        assert same(load(path), old)


def test_closing_the_folder_cannot_spoil_it(path, monkeypatch):
    monkeypatch.setattr(container, "os", System(*STEPS[-1], Error(errno.EIO)))
    save(model_of("Linear(d)"), path)
    assert same(load(path), model_of("Linear(d)"))


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_folder_that_cannot_be_synced_is_no_error(path, monkeypatch, code):
    monkeypatch.setattr(container, "os", System("fsync", 1, Error(code)))
    write(path, b"new")
    assert path.read_bytes() == b"new"


def test_without_second_names(path, monkeypatch):
    write(path, b"old")
    system = System("link", 0, Error(errno.EPERM))
    monkeypatch.setattr(container, "os", system)
    write(path, b"new")
    assert path.read_bytes() == b"new"
    # and where then the folder cannot be brought to the disk, the error tells what is so
    system.calls, fsync, second = [], os.fsync, itertools.count()
    monkeypatch.setattr(os, "fsync", lambda file: Error(errno.EIO)(fsync) if next(second) else fsync(file))
    with pytest.raises(OSError, match="it is there, but a power failure may undo it"):
        write(path, b"newer")
    assert path.read_bytes() == b"newer"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("exists", [True, False])
def test_short_writes(path, monkeypatch, exists):
    data = os.urandom(100_000)
    if exists:
        write(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(container, "os", System("write", 0, Short()))
        with pytest.raises(OSError, match=r"unchanged\): the system takes only a part of the bytes") as caught:
            write(path, data)
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(path.parent) == ([path.name] if exists else [])
    assert not exists or path.read_bytes() == b"old"
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:777]))
    write(path, data)
    assert path.read_bytes() == data


def test_ctrl_c_leaves_the_old_file(path, monkeypatch):
    write(path, b"old")

    def interrupt(*_):
        raise KeyboardInterrupt

    for name in ("write", "fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, interrupt)
            with pytest.raises(KeyboardInterrupt):
                write(path, b"new")
        assert path.read_bytes() == b"old"
        assert os.listdir(path.parent) == [path.name]


def test_a_full_disk():
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    with pytest.raises(OSError, match="a folder or a device is there"):
        write("/dev/full", b"x")
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_permissions_links_and_folders(path):
    write(path, b"old")
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~current_umask()
    path.chmod(0o600)
    link = path.with_name("link")
    link.symlink_to(path.name)
    write(link, b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(IsADirectoryError, match=r"unchanged.*a folder"):
        write(path.parent, b"new")
    with pytest.raises(FileNotFoundError, match=r"unchanged.*there is no folder"):
        write(path.parent / "no" / "model", b"new")
    with pytest.raises(OSError, match="unchanged"):
        write(path / "model", b"new")
    write(path.with_name("ä" * 127), b"long")
    write(path, b"")
    assert path.read_bytes() == b""
    assert sorted(os.listdir(path.parent)) == sorted(["link", path.name, "ä" * 127])


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_nobody_else_can_open_the_temporary_file_before_it_has_its_permissions(path, monkeypatch, mode):
    write(path, b"secret")
    path.chmod(mode)
    seen, real = [], os.fchmod

    def noted(file, wanted):
        seen.append(stat.S_IMODE(os.fstat(file).st_mode))
        real(file, wanted)

    monkeypatch.setattr(os, "fchmod", noted)
    write(path, b"another secret")
    assert seen == [0o600]
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_new_file_does_not_become_somebody_else(path):
    write(path, b"old")
    path.chmod(0o4755)
    write(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


def test_only_what_is_its_own_is_replaced(path):
    own = container.Own(str(path))
    write(own, b"one")
    write(own, b"two")
    path.unlink()
    write(own, b"three")
    write(path, b"another's")
    with pytest.raises(container.TakenError, match="no longer the file"):
        write(own, b"four")
    assert path.read_bytes() == b"another's"
    assert os.listdir(path.parent) == [path.name]


def test_what_comes_while_a_file_is_written_is_not_replaced(path):
    own = container.Own(str(path))

    def block():
        with replacing(own) as file:
            file.write(b"mine")
            write(path, b"another's")

    with pytest.raises(container.TakenError):
        block()
    assert path.read_bytes() == b"another's"


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


# What a kill leaves ------------------------------------------------------------------------------------------------------

CHILDREN = textwrap.dedent("""
    import glob, os, random, signal, sys, time
    from gdcore import container
    from gdcore.files import load, save
    from test_container import System, STEPS
    from test_files import model_of, same
    import safetensors.numpy
    models = [model_of("Linear(d)"), model_of("MLP tanh")]
    random.seed(1)

    def child(work):
        pid = os.fork()
        if pid == 0:
            try:
                work()
            finally:
                os._exit(1)
        return pid

    def check(pid):
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert code == -signal.SIGKILL, code
        loaded = load("model")
        found = [i for i, model in enumerate(models) if same(loaded, model)]
        assert len(found) == 1
        for left in glob.glob(".gdcore-*"):
            os.unlink(left)
        assert os.listdir(".") == ["model"]
        return found[0]
    os.makedirs("here", exist_ok=True)
    os.chdir("here")
    save(models[0], "model")
""")


def test_kill_at_random(python):
    program = CHILDREN + textwrap.dedent("""
        def forever():
            while True:
                for model in reversed(models):
                    save(model, "model")
        seen = []
        for _ in range(int(sys.argv[1])):
            pid = child(forever)
            time.sleep(random.uniform(0.001, 0.03))
            os.kill(pid, signal.SIGKILL)
            seen.append(check(pid))
        print(len(seen), set(seen))
    """)
    done = python(program, KILLS, timeout=300)
    assert done.stderr == ""
    assert done.stdout.split()[0] == str(KILLS)


def test_kill_at_every_step(python):
    program = CHILDREN + textwrap.dedent("""
        class Kill:
            times = 1
            def __init__(self, before):
                self.before = before
            def __call__(self, function, *arguments, **options):
                try:
                    if not self.before:
                        function(*arguments, **options)
                finally:
                    os.kill(os.getpid(), signal.SIGKILL)

        def work(name, number, before):
            container.os = System(name, number, Kill(before))
            save(models[1], "model")
        steps = [*STEPS, ("link", 0), ("unlink", 0), ("unlink", 1)]
        for name, number in steps:
            for before in (True, False):
                save(models[0], "model")
                pid = child(lambda: work(name, number, before))
                try:
                    new = check(pid)
                except AssertionError as error:
                    raise AssertionError((name, number, before)) from error
                replaced = name == "unlink" or (name, number) in STEPS[7:] or (name == "replace" and not before)
                assert new == replaced, (name, number, before, new)
        print("done")
    """)
    done = python(program)
    assert done.stderr == ""
    assert done.stdout.strip() == "done"


# What is written piece by piece ------------------------------------------------------------------------------------------


def test_pieces_take_the_files_place_at_the_end(path):
    write(path, b"old")
    with replacing(path) as file:
        assert os.path.dirname(file.name) == str(path.parent)
        file.write(b"one")
        file.write(memoryview(np.arange(3)))
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"one" + np.arange(3).tobytes()
    assert os.listdir(path.parent) == [path.name]


def test_text_may_be_written_and_the_file_closed(path):
    with replacing(path) as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
        text.write("Größe\n" * 1000)
    assert path.read_text() == "Größe\n" * 1000


@pytest.mark.parametrize("error", [ValueError("mine"), OSError(errno.ENOENT, "mine"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("exists", [True, False])
def test_an_exception_in_the_block_changes_nothing(path, exists, error):
    if exists:
        write(path, b"old")

    def block():
        with replacing(path) as file:
            file.write(b"new" * 1_000_000)
            raise error

    opened = len(os.listdir("/dev/fd"))
    with pytest.raises(type(error)) as caught:
        block()
    assert caught.value is error
    assert len(os.listdir("/dev/fd")) == opened, "still open, as long as somebody keeps the exception"
    assert os.listdir(path.parent) == ([path.name] if exists else [])
    assert not exists or path.read_bytes() == b"old"
    gc.collect()  # nothing is left to complain when it is closed


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=errno.errorcode.get)
@pytest.mark.parametrize("function, number", [("write", 0), ("write", 2), ("fsync", 0), ("close", 0), ("replace", 0)])
@pytest.mark.parametrize("closed", [True, False])
def test_a_step_failing_while_pieces_are_written(path, monkeypatch, function, number, code, closed):
    write(path, b"old")

    def block():
        with replacing(path) as file:
            for _ in range(3):
                file.write(bytes(2 << 20))
                file.flush()
            if closed:
                file.close()

    with monkeypatch.context() as patch:
        patch.setattr(container, "os", System(function, number, Error(code)))
        with pytest.raises(OSError, match=r"the file was not written \(what was there before is unchanged\)") as caught:
            block()
    assert (caught.value.errno, caught.value.filename) == (code, str(path))
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]
    gc.collect()


def test_no_file_descriptor_is_left_open(path, monkeypatch):
    write(path, b"old")
    before = os.listdir("/dev/fd")
    for name, number in STEPS:
        with monkeypatch.context() as patch:
            patch.setattr(container, "os", System(name, number, Error(errno.EIO)))
            with contextlib.suppress(OSError):
                write(path, b"new")
    gc.collect()
    assert len(os.listdir("/dev/fd")) == len(before)


# Arrays and text ---------------------------------------------------------------------------------------------------------

THING = Format("gdcore-thing", "3", "thing")


def test_arrays_and_text_come_back(path):
    arrays = {"a": np.arange(6).reshape(2, 3), "none": np.empty((0, 2), "f4"), "number": np.array(-0.0)}
    write(path, pack(THING, arrays, {"name": "Größe"}))
    found, meta = read(THING, path)
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()
    assert meta["name"] == "Größe"
    assert set(meta) - {"name"} == container.COMMON
    assert (meta["format"], meta["version"], meta["gdcore"]) == ("gdcore-thing", "3", gdcore.__version__)


def test_another_format_or_version_is_refused():
    data = pack(THING, {"a": np.zeros(1)}, {})
    with pytest.raises(FileError, match="it is no gdcore model: its metadata do not say format 'gdcore'"):
        parse(Format("gdcore", "3", "model"), data)
    with pytest.raises(FileError, match=r"wrote it, in version 3 of the format; this is gdcore .*, which reads version 2"):
        parse(Format("gdcore-thing", "2", "thing"), data)
    with pytest.raises(FileError, match="checksum"):
        parse(THING, data[:-1] + b"\1")
