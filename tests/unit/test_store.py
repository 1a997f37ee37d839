"""Stores: local paths by os calls and everything else through fsspec, with the same answers."""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

from ioprof.errors import StoreError
from ioprof.store.base import Store
from ioprof.store.fsspec_store import FsspecStore, without_credentials
from ioprof.store.local import LocalStore
from ioprof.store.open_store import open_store
from ioprof.store.page_cache import evict, warm

KINDS = ("path", "file", "memory")


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Yield an empty store of each kind."""
    name = uuid.uuid4().hex
    url = {"path": str(tmp_path), "file": f"file://{tmp_path}", "memory": f"memory://{name}"}[request.param]
    yield open_store(url)
    if request.param == "memory":
        fsspec.filesystem("memory").rm(f"/{name}", recursive=True)


def _filled(store: Store) -> Store:
    store.make_dir("a/b")
    store.write("a/b/1", b"x" * 5000)
    store.write("a/2", bytearray(b"two"), sync=True)
    store.write("3", memoryview(b""))
    return store


def test_every_store_gives_back_what_was_written(store: Store) -> None:
    """Whole objects, empty ones included, with and without a known size, and replaced ones."""
    _filled(store)
    assert (store.read("a/b/1"), store.read("a/2", 3), store.read("3")) == (b"x" * 5000, b"two", b"")
    store.write("a/2", b"longer than before")
    store.write("a/b/1", b"s")
    assert (store.read("a/2"), store.read("a/b/1")) == (b"longer than before", b"s")


def test_every_store_lists_and_tells_sizes_alike(store: Store) -> None:
    """Names are the last part of the path; a listing may leave the size out, but never gives a wrong one."""
    _filled(store)
    listed = {(entry.name, entry.is_dir) for entry in store.list()}
    assert listed == {("a", True), ("3", False)}
    assert {(entry.name, entry.is_dir) for entry in store.list("a")} == {("b", True), ("2", False)}
    assert {entry.size_bytes for entry in store.list("a/b")} <= {None, 5000}
    found = store.stat("a/b/1")
    assert (found.name, found.is_dir, found.size_bytes) == ("1", False, 5000)
    assert store.stat("a").is_dir


def test_every_store_moves_removes_and_fails_alike(store: Store) -> None:
    """Renaming replaces; what is gone is FileNotFoundError everywhere."""
    _filled(store)
    store.rename("3", "a/2")
    assert store.read("a/2") == b""
    store.unlink("a/2")
    store.unlink("a/b/1")
    store.remove_dir("a/b")
    for gone in ("3", "a/2", "a/b/1"):
        with pytest.raises(FileNotFoundError):
            store.read(gone)
        with pytest.raises(FileNotFoundError):
            store.stat(gone)
    with pytest.raises(FileNotFoundError):
        store.list("never/was")


def test_a_store_below_a_store_sees_the_same_objects(store: Store) -> None:
    """A dataset has a folder of its own."""
    below = _filled(store).at("a/b")
    assert below.read("1") == b"x" * 5000
    below.write("4", b"four")
    assert store.read("a/b/4") == b"four"


def test_a_store_travels_to_another_process(store: Store) -> None:
    """Workers get it pickled; only the address travels, no client."""
    copy = pickle.loads(pickle.dumps(_filled(store)))  # noqa: S301 - made in the line itself
    assert copy.url == store.url
    assert copy.read("a/2") == b"two"
    assert copy.local_root == store.local_root


def test_a_path_and_its_file_url_show_the_same_bytes(tmp_path: Path) -> None:
    """Two roads to one place."""
    local, through = open_store(str(tmp_path)), open_store(f"file://{tmp_path}")
    _filled(local)
    assert through.read("a/b/1") == local.read("a/b/1")
    assert {(e.name, e.is_dir) for e in through.list("a")} == {(e.name, e.is_dir) for e in local.list("a")}
    assert through.local_root is None
    assert local.local_root == str(tmp_path)


def test_a_path_stays_on_os_calls_and_a_url_goes_through_fsspec(tmp_path: Path) -> None:
    """``local:`` says so explicitly; a path that is relative is made absolute, so that workers find it."""
    assert isinstance(open_store(str(tmp_path)), LocalStore)
    assert isinstance(open_store("file:///x"), FsspecStore)
    assert open_store("local:/x/y").url == open_store("/x/y").url == "/x/y"
    assert Path(open_store("some/where").url).is_absolute()


@pytest.mark.parametrize(
    ("url", "message"),
    [("", "the store is empty"), ("  ", "the store is empty"), ("a\0b", "zero byte"), ("nosuch://x", "nosuch")],
)
def test_a_url_that_makes_no_sense_is_refused_before_anything_is_touched(url: str, message: str) -> None:
    """One line with what is known instead."""
    with pytest.raises(StoreError, match=message) as caught:
        open_store(url)
    assert "\n" not in str(caught.value)


def test_opening_a_store_creates_nothing(tmp_path: Path) -> None:
    """`doctor` and --dry-run look only."""
    open_store(str(tmp_path / "absent"))
    open_store(f"file://{tmp_path}/absent")
    assert list(tmp_path.iterdir()) == []


def test_room_is_told_of_the_filesystem_that_will_hold_the_store(tmp_path: Path) -> None:
    """Also before the folder exists; fsspec has no word for it and says so."""
    here, below = LocalStore(str(tmp_path)).capacity(), LocalStore(str(tmp_path / "not" / "yet")).capacity()
    assert here.total_bytes == below.total_bytes
    assert here.free_bytes is not None
    assert here.total_bytes is not None
    assert 0 < here.free_bytes <= here.total_bytes
    assert open_store(f"file://{tmp_path}").capacity().free_bytes is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://key:secret@bucket/x", "s3://bucket/x"),
        ("s3://AKIA:ab/cd@bucket/x", "s3://bucket/x"),
        ("s3://a:p@ss@b/x", "s3://b/x"),
        ("s3://a:p/s@b/x: no such bucket, ask me@home", "s3://b/x: no such bucket, ask me@home"),
        ("https://h/x?sig=abc&se=1", "https://h/x?sig=...&se=..."),
        ("/plain/path@home", "/plain/path@home"),
    ],
)
def test_credentials_never_reach_a_log(url: str, shown: str) -> None:
    """User, password and the values of a query are left out."""
    assert without_credentials(url) == shown


def test_evicting_and_warming_count_what_could_not_be_opened(tmp_path: Path) -> None:
    """A missing object is counted here and met again by the run; progress ends at the number of objects."""
    store = LocalStore(str(tmp_path))
    for index in (0, 1, 3):
        store.write(str(index), b"x" * 10_000)
    for change in (evict, warm):
        told: list[int] = []
        done = change(str(tmp_path), str, 4, told.append)
        assert (done.objects, done.failed, told[-1]) == (4, 1, 4)
        assert store.read("3") == b"x" * 10_000


@pytest.mark.parametrize("url", ["ftp://me:secret@127.0.0.1:9/x", "zip:///nope.zip"])
def test_a_client_that_cannot_be_made_is_a_store_error_in_one_line(url: str) -> None:
    """Some clients connect, or open a file, as soon as they are made; the line holds no password."""
    with pytest.raises(StoreError, match="cannot be opened: ") as caught:
        open_store(url)
    assert "\n" not in str(caught.value)
    assert "cret" not in str(caught.value)


def test_a_url_that_is_misread_at_its_password_never_shows_it() -> None:
    """The parser's own message quotes what it took for a port."""
    with pytest.raises(StoreError, match="write / as %2F") as caught:
        open_store("ftp://me:se/cret@127.0.0.1:9/x")
    assert "'se'" not in str(caught.value)


class _OddError(Exception):
    """What a client raises that knows nothing of OSError."""


class _OddClient:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Callable[..., object]:
        def fail(*_: object, **__: object) -> object:
            raise self._error

        return fail


OPERATIONS: dict[str, Callable[[Store], object]] = {
    "list": lambda store: store.list("a"),
    "stat": lambda store: store.stat("a"),
    "read": lambda store: store.read("a"),
    "write": lambda store: store.write("a", b""),
    "make_dir": lambda store: store.make_dir("a"),
    "rename": lambda store: store.rename("a", "b"),
    "unlink": lambda store: store.unlink("a"),
    "remove_dir": lambda store: store.remove_dir("a"),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_fails_by_oserror_whatever_its_client_raises(
    operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client's own types are translated and named; an OSError passes as it is."""
    store = FsspecStore("memory://x")
    monkeypatch.setattr(store, "_client", _OddClient(_OddError("slow\ndown")))
    with pytest.raises(OSError, match="a: _OddError: slow down"):
        OPERATIONS[operation](store)
    denied = PermissionError(13, "denied")
    monkeypatch.setattr(store, "_client", _OddClient(denied))
    with pytest.raises(PermissionError) as caught:
        OPERATIONS[operation](store)
    assert caught.value is denied


def test_a_path_that_is_no_utf_8_is_refused() -> None:
    """It could be neither printed nor kept in run.json."""
    with pytest.raises(StoreError, match="not a path in UTF-8"):
        open_store("data-\udce9")
