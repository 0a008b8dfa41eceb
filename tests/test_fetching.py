"""Downloads and archives: resumed, checked, and never written outside their folder."""

import hashlib
import http.server
import io
import json
import shutil
import tarfile
import threading
import zipfile

import pytest
from archives import ARCHIVES
from robust_transfer.config import published
from robust_transfer.errors import DataError
from robust_transfer.images import fetch
from robust_transfer.images.download import download
from robust_transfer.images.fetch import fetch_dataset
from robust_transfer.images.unpack import unpack

CONTENT = bytes(range(256)) * 4000  # a megabyte


class Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; breaks off after `server.breaks_after` bytes as often as `server.breaks`."""

    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        if self.path == "/missing.bin":
            self.send_error(404)
            return
        start = 0
        if self.headers.get("Range") and server.resumes:
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        stop = len(CONTENT)
        if server.breaks > 0:
            server.breaks -= 1
            stop = start + server.breaks_after
        self.wfile.write(CONTENT[start:stop])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        server.asked, server.breaks, server.breaks_after, server.resumes = [], 0, 300_000, True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        server.url = f"http://127.0.0.1:{server.server_port}"
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"


def test_a_file_is_fetched_and_checked(server, tmp_path):
    path = tmp_path / "below/file.bin"
    assert download(f"{server.url}/file.bin", path, MD5) == hashlib.sha256(CONTENT).hexdigest()
    assert path.read_bytes() == CONTENT
    download(f"{server.url}/file.bin", path, MD5)
    assert len(server.asked) == 1, "what is there is not fetched again"


@pytest.mark.parametrize("resumes", [True, False])
def test_a_broken_connection_is_gone_on_from(server, tmp_path, resumes):
    server.breaks, server.resumes = 2, resumes
    download(f"{server.url}/file.bin", tmp_path / "file.bin", MD5)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-", f"bytes={600000 if resumes else 300000}-"]
    assert not (tmp_path / "file.bin.part").exists()


def test_the_part_that_a_killed_run_left_is_gone_on_from(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    download(f"{server.url}/file.bin", tmp_path / "file.bin", MD5)
    assert server.asked == ["bytes=1000-"]


def test_a_wrong_checksum_is_refused_and_the_file_removed(server, tmp_path):
    with pytest.raises(DataError, match=r"file\.bin\.part: its sha256 is"):
        download(f"{server.url}/file.bin", tmp_path / "file.bin", f"sha256:{'0' * 64}")
    assert list(tmp_path.iterdir()) == []


def test_an_address_that_is_gone_says_where_to_put_the_file(server, tmp_path):
    with pytest.raises(DataError, match=r"404.*\n.*put the file at .*missing\.bin"):
        download(f"{server.url}/missing.bin", tmp_path / "missing.bin")


def test_a_connection_that_always_breaks_is_given_up(server, tmp_path):
    server.breaks, server.breaks_after = 99, 10
    with pytest.raises(DataError, match=r"the connection ended after 50 of"):
        download(f"{server.url}/file.bin", tmp_path / "file.bin")


# Archives


@pytest.fixture(params=["this Python", "Python 3.11.2"])
def python(request, monkeypatch):
    """Python before 3.11.4 has no filter of what a tar may hold."""
    if request.param == "Python 3.11.2" and hasattr(tarfile, "data_filter"):
        extractall = tarfile.TarFile.extractall
        monkeypatch.delattr(tarfile, "data_filter")
        monkeypatch.setattr(
            tarfile.TarFile, "extractall",
            lambda tar, path, members: extractall(tar, path, members, filter="fully_trusted"),
        )  # fmt: skip


def tar_of(path, members):
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if content is None:
                member.type, member.linkname = tarfile.SYMTYPE, "/etc"
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "a/../../out.txt", "link"])
def test_a_tar_that_leaves_its_folder_is_refused(tmp_path, name, python):
    tar_of(tmp_path / "bad.tar", {name: None if name == "link" else b"x"})
    if name.startswith("/"):  # absolute names lose their slash, and so stay inside
        unpack(tmp_path / "bad.tar", tmp_path / "in")
        assert (tmp_path / "in/tmp/out.txt").exists()
        return
    with pytest.raises(DataError, match="outside"):
        unpack(tmp_path / "bad.tar", tmp_path / "in")
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize("name", ["../out.txt", "a/../../out.txt", "/out.txt", "..\\out.txt"])
def test_a_zip_that_leaves_its_folder_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as zipped:
        zipped.writestr(name, "x")
    with pytest.raises(DataError, match="outside"):
        unpack(tmp_path / "bad.zip", tmp_path / "in")
    assert list((tmp_path / "in").iterdir()) == []


@pytest.mark.parametrize("name", ["cut.tar", "cut.tar.gz", "cut.zip"])
@pytest.mark.parametrize("kept", [0.0, 0.5])
def test_a_truncated_archive_is_named(tmp_path, name, kept):
    whole = tmp_path / name
    noise = hashlib.shake_256(b"noise").digest(40_000)
    if name.endswith("zip"):
        with zipfile.ZipFile(whole, "w") as zipped:
            zipped.writestr("file", noise)
    else:
        tar_of(whole, {"file": noise})
    content = whole.read_bytes()
    whole.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(DataError, match=rf"(?s){name}.*truncated"):
        unpack(whole, tmp_path / "in")


# A whole dataset


@pytest.fixture
def pets_on_the_web(tmp_path, monkeypatch):
    """The archives of Pets below file:// addresses, and the table that names them."""
    web = tmp_path / "web"
    ARCHIVES["pets"](web / "made")
    archives = []
    for part in ("images", "annotations"):
        path = web / f"{part}.tar.gz"
        with tarfile.open(path, "w:gz") as tar:
            tar.add(web / "made/oxford-iiit-pet" / part, arcname=part)
        digest = hashlib.md5(path.read_bytes()).hexdigest()
        archives.append(published.Archive(path.as_uri(), f"md5:{digest}", "oxford-iiit-pet"))
    known = published.published_datasets()["pets"]
    changed = published.Published(**{**vars(known), "archives": tuple(archives)})
    monkeypatch.setattr(fetch, "published_datasets", lambda: {"pets": changed})
    return web


def test_a_dataset_is_fetched_unpacked_and_found_whole(pets_on_the_web, tmp_path):
    fetch_dataset("pets", tmp_path / "data", tmp_path / "found.json")
    record = json.loads((tmp_path / "found.json").read_text())
    assert {key: record[key] for key in ("images", "n_train", "classes")} == {
        "images": 4, "n_train": 3, "classes": 2}  # fmt: skip
    before = (tmp_path / "found.json").read_bytes()
    shutil.rmtree(pets_on_the_web)  # a second time needs no web
    fetch_dataset("pets", tmp_path / "data", tmp_path / "found.json")
    assert (tmp_path / "found.json").read_bytes() == before


def test_caltech_101_is_an_archive_within_an_archive(tmp_path):
    from robust_transfer.images.published.read import list_published

    ARCHIVES["caltech101"](tmp_path / "made")
    inner = tmp_path / "101_ObjectCategories.tar.gz"
    with tarfile.open(inner, "w:gz") as tar:
        tar.add(tmp_path / "made/caltech101/101_ObjectCategories", "101_ObjectCategories")
    with zipfile.ZipFile(tmp_path / "caltech-101.zip", "w") as zipped:
        zipped.write(inner, "caltech-101/101_ObjectCategories.tar.gz")
    unpack(tmp_path / "caltech-101.zip", tmp_path / "data/caltech101")
    listing = list_published({"name": "it", "kind": "caltech101"}, tmp_path / "data")
    assert (listing.n_train, len(listing)) == (60, 64)


def test_what_cannot_be_fetched_says_how_to_get_it(tmp_path):
    with pytest.raises(DataError, match="Kaggle"):
        fetch_dataset("cars", tmp_path, tmp_path / "found.json")
