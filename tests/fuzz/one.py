"""`python -m fuzz.one TARGET FOLDER [libFuzzer options]`: fuzzes one target in this process, which ends with it.

Everything of Tessera that the target imports, and yarl, which reads addresses, is instrumented while it is imported.
"""

import sys

import atheris

from fuzz.targets import target


def main() -> None:
    """Fuzzes until libFuzzer's options say that it is enough, or until something breaks."""
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=["tessera", "yarl"]):
        module = target(name)
    atheris.Setup(sys.argv, module.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
