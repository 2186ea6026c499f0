"""The samples of README.md and docs/apis/, run one after the other as a reader would, on one server."""

import re
import subprocess
import sys

import pytest

from conftest import ROOT, Server

# What each sample has to print, by the heading it stands under.
PRINTS = {
    "Quick start": "sealed with the key of bob",
    "message_store": "sealed for erin was shared by carol",
    "secure_im": "SGVsbG8gd29ybGQh",
    "chat8": "text Hello, World!\nfile /api/v1/files/",
    "encommunication": "c2VhbGVk",
}


def samples(document):
    """The Python samples of a document, each with the heading above it."""
    heading, found = None, []
    for title, code in re.findall(r"^##+ ([^\n]*)$|```python\n(.*?)```", document.read_text(), re.S | re.M):
        heading = title or heading
        if code:
            found.append((heading, code))
    return found


def assert_can_be_pasted(code):
    """At Python's prompt a block ends at an empty line, and nowhere else."""
    lines = code.splitlines() + [""]
    for above, line in zip(lines, lines[1:]):
        starts = line and not line.startswith((" ", ")", "]", "}"))
        assert not (above.startswith(" ") and starts), f"no empty line before {line!r}"
    if lines[-2].startswith(" "):
        raise AssertionError(f"no empty line after {lines[-2]!r}")


def output_of(code, server):
    assert_can_be_pasted(code)
    code = re.sub(r"http://127\.0\.0\.1:\d+", server.url, code)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A server of its own: the samples register names that other tests may have taken."""
    one = Server(tmp_path_factory.mktemp("reader"))
    yield one
    one.stop()


@pytest.fixture(scope="module")
def samples_of_readme():
    return dict(samples(ROOT / "README.md"))


@pytest.mark.parametrize("heading", PRINTS)
def test_a_sample_of_the_readme_prints_what_it_should(heading, samples_of_readme, reader):
    assert PRINTS[heading] in output_of(samples_of_readme[heading], reader)


def test_the_readme_has_no_sample_beside_these(samples_of_readme):
    assert set(samples_of_readme) == set(PRINTS)


@pytest.mark.parametrize("document", sorted((ROOT / "docs" / "apis").glob("*.md")), ids=lambda path: path.stem)
def test_the_samples_of_the_apis_run_where_the_readmes_did(document, reader):
    for _, code in samples(document):
        assert output_of(code, reader)
