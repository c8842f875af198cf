"""Coverage-guided fuzzing of what reads strangers' bytes: `make fuzz SECONDS=60`.

`targets/` says what must hold for any input; `corpus/` holds, one file a target, the inputs that are replayed with the
tests: what each target starts from, what reached new code, and every input that once broke it.
"""
