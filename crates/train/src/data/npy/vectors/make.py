"""Arrays as NumPy (2.4.6) writes them, for ../tests.rs: python make.py"""

import numpy as np

ramp = np.arange(-6, 6).reshape(3, 2, 2)
kinds = {f"{order}{kind}".replace("|", ""): ramp for kind in ["i2", "i4", "i8", "f2", "f4", "f8"] for order in "<>"}
kinds |= {"i1": ramp, "u1": ramp + 6, "u2": ramp + 6, "u8": ramp + 6, "?": ramp % 2}
np.savez_compressed("kinds.npz", **{f"k{i}": array.astype(kind) for i, (kind, array) in enumerate(kinds.items())})
np.savez("both.npz", x=ramp.astype("<f4") / 4, y=np.array([2, 0, 1]))
np.save("fortran.npy", np.asfortranarray(ramp.astype("<f4") / 4))
np.save("halves.npy", np.array([1.5, -0.0999755859375, 65504, 6e-8, np.inf, np.nan], "<f2"))
np.save("objects.npy", np.array([{"a": 1}], dtype=object))
