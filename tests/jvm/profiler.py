"""async-profiler, out of the jar that Maven has."""
import os
import zipfile
from pathlib import Path

import maven

POM = Path(__file__).resolve().parent.parent / "bench" / "jvm" / "pom.xml"


def library(cache):
    """Its libasyncProfiler.so."""
    libraries = maven.libraries(POM, cache)
    target = Path(cache) / f"{libraries.name}.so"
    if not target.exists():
        jar = next(libraries.glob("async-profiler-*.jar"))
        with zipfile.ZipFile(jar) as archive:
            part = Path(f"{target}.{os.getpid()}.part")
            part.write_bytes(archive.read("linux-x64/libasyncProfiler.so"))
            part.chmod(0o755)
            part.rename(target)
    return target
