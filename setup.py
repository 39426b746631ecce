"""Builds the extensions of core/_ext; everything else about the package stands in pyproject.toml.

Environment, all optional:
  PHANTOMDB_DEBUG=1           the invariants build: bounds checks, assertions, object counts, symbols. It goes to
                              build/debug/lib (a whole package; put it on PYTHONPATH), never in place.
  PHANTOMDB_SANITIZE=address  as above with AddressSanitizer, in build/address/lib.
  PHANTOMDB_STRICT=1          warnings of the C compiler, and warnings and performance hints of Cython, are errors.
"""
from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler.Errors import CompileError
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCES = Path("phantomdb/core/_ext")               # through the link: the package as Python sees it
JOBS = 2
SANITIZER = os.environ.get("PHANTOMDB_SANITIZE", "")
CHECKED = bool(SANITIZER) or os.environ.get("PHANTOMDB_DEBUG") == "1"
STRICT = os.environ.get("PHANTOMDB_STRICT") == "1"
FLAVOUR = SANITIZER or ("debug" if CHECKED else "release")
BUILD = Path("build") / FLAVOUR

# The one place for directives; no source file sets its own.
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": CHECKED,
    "wraparound": CHECKED,
    "cdivision": True,
    "initializedcheck": CHECKED,
    "embedsignature": True,
    "freethreading_compatible": True,               # no correctness rests on the GIL; locks are explicit
}
# What the generated code cannot avoid is silenced; everything else that -Wall finds is ours to mend.
COMPILE = ["-std=gnu11", "-fno-strict-aliasing", "-fvisibility=hidden", "-Wall",
           "-Wno-unused-function", "-Wno-unused-variable", "-Wno-sign-compare", "-Wno-maybe-uninitialized"]
COMPILE += ["-O1", "-g", "-DPHANTOMDB_DEBUG=1", "-UNDEBUG"] if CHECKED else ["-O3", "-g0"]
LINK = ["-pthread"]
if SANITIZER:
    COMPILE += [f"-fsanitize={SANITIZER}", "-fno-omit-frame-pointer"]
    LINK += [f"-fsanitize={SANITIZER}"]
if STRICT:
    COMPILE += ["-Werror"]


def extensions() -> list[Extension]:
    headers = sorted(str(path) for path in SOURCES.glob("*.h"))
    return [
        Extension(f"phantomdb.core._ext.{path.stem}", [str(path)], include_dirs=[str(SOURCES)], depends=headers,
                  extra_compile_args=COMPILE, extra_link_args=LINK, libraries=["pthread", "dl"])
        for path in sorted(SOURCES.glob("*.pyx"))
    ]


class BuildExtensions(build_ext):
    """Cython, then C, both in parallel; generated C stays below build/."""

    parallel: int | bool | None
    done_count = 0

    def finalize_options(self) -> None:
        super().finalize_options()
        if not self.parallel:
            self.parallel = JOBS
        if CHECKED and self.inplace:
            raise SystemExit(f"a {FLAVOUR} build never goes in place; run: python setup.py build")

    def run(self) -> None:
        if self.inplace or self.editable_mode:
            # One place for both, so that `pip install -e` after `build_ext --inplace` compiles nothing again.
            self.build_lib, self.build_temp = str(BUILD / "inplace"), str(BUILD / "temp")
        started = time.time()
        complaints = self._cythonize()
        try:
            if complaints and STRICT:
                raise SystemExit("Cython complains, and in a strict build that is an error:\n" + "\n".join(complaints))
            super().run()
        finally:
            # Complaints come only with a compilation: forget what this run generated, so that they come again.
            for extension in self.extensions if complaints else []:
                generated = Path(extension.sources[0])
                if generated.stat().st_mtime >= started:
                    generated.unlink()

    def build_extension(self, ext: Extension) -> None:
        output = Path(self.get_ext_fullpath(ext.name))
        before = output.stat().st_mtime_ns if output.exists() else 0
        super().build_extension(ext)
        self.done_count += 1
        if output.stat().st_mtime_ns != before:
            print(f"   compiled {ext.name} ({self.done_count} of {len(self.extensions)})", flush=True)

    def _cythonize(self) -> list[str]:
        """Put the generated C in place of each .pyx; return Cython's warnings and performance hints."""
        # Cython's workers write to the process's own stderr: catch it below Python.
        sys.stderr.flush()
        saved = os.dup(2)
        with tempfile.TemporaryFile() as captured:
            os.dup2(captured.fileno(), 2)
            try:
                # Two lines a module say less than build_extension's one.
                with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
                    generated = cythonize(self.extensions, nthreads=JOBS, build_dir=str(BUILD / "cython"),
                                          compiler_directives=DIRECTIVES, force=self.force)
            except CompileError as error:
                raise SystemExit(f"{error}: see above") from None
            finally:
                sys.stderr.flush()
                os.dup2(saved, 2)
                os.close(saved)
                captured.seek(0)
                output = captured.read().decode("utf-8", "replace")
                sys.stderr.write(output)
        by_name = {extension.name: extension for extension in generated}
        for extension in self.extensions:
            extension.sources = by_name[extension.name].sources
            extension.depends = by_name[extension.name].depends
        return [line for line in output.splitlines() if "performance hint:" in line or line.startswith("warning:")]


if __name__ == "__main__":
    setup(
        ext_modules=extensions(),
        cmdclass={"build_ext": BuildExtensions},
        # an invariants build is found at a fixed place; a release build where setuptools puts it
        options={"build": {"build_base": str(BUILD), **({"build_lib": str(BUILD / "lib")} if CHECKED else {})}},
    )
