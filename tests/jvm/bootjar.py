"""A jar as Spring Boot's plugins for Maven and Gradle make it: the program's classes and its libraries,
as jars that are not compressed, inside one jar with Spring Boot's loader."""
import os
import zipfile
from pathlib import Path

import maven

POM = Path(__file__).resolve().parent / "deployments" / "loader.xml"
LOADER = "org/springframework/boot/loader/"


def _loader_classes(loader):
    with zipfile.ZipFile(loader) as jar:
        return {name: jar.read(name) for name in jar.namelist() if name.startswith("org/")}


def _manifest(classes, boot, start_class):
    # the loader was written anew in Boot 3.2, in another package
    launcher = LOADER + ("launch/" if LOADER + "launch/JarLauncher.class" in classes else "") + "JarLauncher"
    return ("Manifest-Version: 1.0\n"
            f"Main-Class: {launcher.replace('/', '.')}\n"
            f"Start-Class: {start_class}\n"
            f"Spring-Boot-Version: {boot}\n"
            "Spring-Boot-Classes: BOOT-INF/classes/\n"
            "Spring-Boot-Lib: BOOT-INF/lib/\n"
            "Spring-Boot-Classpath-Index: BOOT-INF/classpath.idx\n"
            "Spring-Boot-Layers-Index: BOOT-INF/layers.idx\n")


LAYERS = ('- "dependencies":\n  - "BOOT-INF/lib/"\n- "spring-boot-loader":\n  - "org/"\n'
          '- "application":\n  - "BOOT-INF/classes/"\n  - "BOOT-INF/classpath.idx"\n'
          '  - "BOOT-INF/layers.idx"\n  - "META-INF/"\n')


def _write(out, entries):
    """In a jar every directory has an entry of its own; Boot's loader looks for them."""
    seen = set()
    for name, data in entries:
        parents = name.split("/")[:-1]
        for depth in range(1, len(parents) + 1):
            directory = "/".join(parents[:depth]) + "/"
            if directory not in seen:
                seen.add(directory)
                out.writestr(zipfile.ZipInfo(directory), b"")
        stored = name.endswith(".jar")
        out.writestr(zipfile.ZipInfo(name), data,
                     zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED)


def make(cache, libs, classes, start_class, boot):
    """The path of the jar."""
    jar = Path(cache) / f"boot-{classes.name}-{libs.name}.jar"
    if jar.exists():
        return jar
    loaders = maven.libraries(POM, cache, **{"boot.version": boot})
    loader = _loader_classes(next(loaders.glob("spring-boot-loader-*.jar")))
    jars = sorted(libs.glob("*.jar"))
    index = "".join(f'- "BOOT-INF/lib/{path.name}"\n' for path in jars)
    entries = [("META-INF/MANIFEST.MF", _manifest(loader, boot, start_class)),
               *((name, data) for name, data in loader.items() if not name.endswith("/")),
               *((f"BOOT-INF/classes/{path.relative_to(classes)}", path.read_bytes())
                 for path in sorted(classes.rglob("*")) if path.is_file()),
               *((f"BOOT-INF/lib/{path.name}", path.read_bytes()) for path in jars),
               ("BOOT-INF/classpath.idx", index), ("BOOT-INF/layers.idx", LAYERS)]
    part = Path(f"{jar}.{os.getpid()}.part")
    with zipfile.ZipFile(part, "w") as out:
        _write(out, entries)
    part.rename(jar)
    return jar
