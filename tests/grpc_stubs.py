"""The official protobuf package's view of `specs/vector_service.proto`, generated for as long as the process runs.

Generated code is tied to the version of protobuf that made it, so none is kept in the repository.
"""

import importlib
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Final

SPEC: Final = Path(__file__).resolve().parent.parent / "specs" / "vector_service.proto"


@cache
def stubs() -> tuple[ModuleType, ModuleType]:
    """The modules `vector_service_pb2` (messages) and `vector_service_pb2_grpc` (stub and servicer)."""
    from grpc_tools import protoc

    well_known = Path(protoc.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["protoc", f"-I{SPEC.parent}", f"-I{well_known}", f"--python_out={folder}"]
        status = protoc.main([*arguments, f"--grpc_python_out={folder}", str(SPEC)])
        assert status == 0, f"protoc failed on {SPEC}"
        sys.path.insert(0, folder)
        try:
            return importlib.import_module("vector_service_pb2"), importlib.import_module("vector_service_pb2_grpc")
        finally:
            sys.path.remove(folder)


def messages() -> ModuleType:
    """The messages alone."""
    return stubs()[0]
