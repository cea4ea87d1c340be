import json
import os
import struct

import pytest
import torch
from safetensors.torch import save

from music_learning.errors import UserError
from music_learning.model.tensors import check_weights, read_metadata, read_tensors

EXPECTED = {
    "points": (torch.float16, ("songs", 3)),
    "names": (torch.bool, ("songs",)),
    "limits": (torch.float32, (2,)),
    "steps": (torch.int64, ()),
}
TENSORS = {
    "points": torch.arange(12.0).view(4, 3).half(),
    "names": torch.tensor([True, False, True, True]),
    "limits": torch.tensor([0.25, 4.0]),
    "steps": torch.tensor(7),
}


def write(path, **changes):
    tensors = {name: tensor for name, tensor in (TENSORS | changes).items() if tensor is not None}
    path.write_bytes(save(tensors, {"energy": "1"}))
    return path


def test_what_was_saved_is_read(tmp_path):
    path = write(tmp_path / "a.safetensors")
    tensors = read_tensors(path, EXPECTED, "make.py")
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensor, TENSORS[name]) for name, tensor in tensors.items())
    assert read_metadata(path, "make.py") == {"energy": "1"}


def test_file_may_be_written_over_while_its_tensors_are_in_use(tmp_path):
    path = write(tmp_path / "a.safetensors", points=torch.ones(4_000, 3).half(), names=torch.ones(4_000).bool())
    tensors = read_tensors(path, EXPECTED, "make.py")
    path.write_bytes(b"")
    assert (tensors["points"] == 1).all()


OTHERS = {
    "missing": ({"limits": None}, "tensor limits is missing"),
    "one more": ({"more": torch.ones(1)}, "tensor more is unknown"),
    "another type": ({"limits": torch.ones(2).double()}, "limits holds numbers of type F64, not torch.float32"),
    "whole numbers": ({"points": torch.ones(4, 3, dtype=torch.int8)}, "points holds numbers of type I8"),
    "complex numbers": ({"limits": torch.ones(2, dtype=torch.complex64)}, "limits holds numbers of type C64"),
    "no booleans": ({"names": torch.ones(4)}, "names holds numbers of type F32, not torch.bool"),
    "transposed": ({"points": torch.ones(3, 4).half()}, r"points has the shape \(3, 4\), not \(3, 3\)"),
    "flat": ({"points": torch.ones(12).half()}, r"points has the shape \(12,\), not \(12, 3\)"),
    "a number": ({"limits": torch.tensor(1.0)}, r"limits has the shape \(\), not \(2\)"),
    "no rows": ({"points": torch.ones(0, 3).half()}, r"points has the shape \(0, 3\), not \(songs, 3\)"),
    "other rows": ({"names": torch.ones(5, dtype=torch.bool)}, r"names has the shape \(5,\), not \(4\)"),
    "NaN": ({"limits": torch.tensor([1.0, torch.nan])}, "limits holds NaN or infinite numbers"),
    "infinite": ({"points": torch.full((4, 3), torch.inf).half()}, "points holds NaN or infinite numbers"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_other_tensors_than_expected_are_refused(tmp_path, case):
    changes, reason = OTHERS[case]
    path = write(tmp_path / "a.safetensors", **changes)
    with pytest.raises(UserError, match=rf"a\.safetensors is damaged \({reason}.*\); delete it .* with make\.py"):
        read_tensors(path, EXPECTED, "make.py")


def with_header(**changes):
    """A file whose header says something else of `limits`."""

    def change(data):
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        text = json.dumps(header | {"limits": header["limits"] | changes}).encode()
        return struct.pack("<Q", len(text)) + text + data[8 + length :]

    return change


DAMAGED = {
    "empty": lambda data: b"",
    "truncated in the header": lambda data: data[:30],
    "truncated": lambda data: data[:-1],
    "longer": lambda data: data + b"x",
    "text": lambda data: b"nothing of the kind" * 30,
    "zeros": lambda data: bytes(len(data)),
    "a header of 2**63 bytes": lambda data: struct.pack("<Q", 2**63) + data[8:],
    "deep": lambda data: struct.pack("<Q", 100_000) + b"[" * 100_000,
    "a shape of 10**18": with_header(shape=[10**9, 10**9]),
    "a negative shape": with_header(shape=[-2]),
    "offsets beyond the end": with_header(data_offsets=[0, 10**12]),
    "offsets backwards": with_header(data_offsets=[8, 0]),
    "an unknown type": with_header(dtype="X9"),
}


@pytest.mark.parametrize("case", DAMAGED)
@pytest.mark.parametrize(
    "read", [lambda path: read_tensors(path, EXPECTED, "make.py"), lambda path: read_metadata(path, "make.py")]
)
def test_damaged_file_is_refused(tmp_path, case, read):
    path = write(tmp_path / "a.safetensors")
    path.write_bytes(DAMAGED[case](path.read_bytes()))
    with pytest.raises(UserError, match=r"a\.safetensors is damaged \(.*\); delete it .* with make\.py"):
        read(path)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, r"is missing; run make\.py first"),
        (lambda path: path.symlink_to("nowhere"), r"is missing; run make\.py first"),
        (lambda path: path.mkdir(), "it is no file"),
        (os.mkfifo, "it is no file"),
        (lambda path: path.symlink_to("/dev/zero"), "it is no file"),
    ],
    ids=["nothing", "a link to nothing", "a folder", "a pipe", "a device"],
)
def test_what_is_no_file_is_refused(tmp_path, make, reason):
    make(tmp_path / "a")
    with pytest.raises(UserError, match=reason):
        read_tensors(tmp_path / "a", EXPECTED, "make.py")


def test_tensors_of_other_weights_are_refused(tmp_path):
    check_weights(tmp_path, {"energy": "1", "more": "2"}, {"energy": "1"}, "make.py")
    for metadata in ({}, {"energy": "2"}):
        with pytest.raises(UserError, match=r"was made with other models than these; make it again with make\.py"):
            check_weights(tmp_path, metadata, {"energy": "1"}, "make.py")
