"""One small table, as text and as Parquet in many ways, for ../tests.rs: python make.py (pyarrow 26.0.1)"""

import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

day = datetime.date
columns = {
    "age": pa.array([30, -5, None, 61, 17], pa.int64()),
    "gain": pa.array([0.0, 500.25, 9.1, 0.1, float("nan")], pa.float64()),
    "part": pa.array([0.1, 0.25, None, 1e-7, 3e20], pa.float32()),
    "paid": pa.array([1.50, 2.25, None, 0.01, -3.00], pa.float64()).cast(pa.decimal128(7, 2)),
    "work": pa.array(["x", "y", "x", None, "z ä"]).dictionary_encode(),
    "member": pa.array([True, False, None, True, True]),
    "seen": pa.array([day(2020, 1, 6), day(1969, 12, 31), None, day(2031, 2, 1), day(2020, 1, 1)]),
    "rich": pa.array(["no", "yes", "no", "no", "yes"]),
    "tags": pa.array([["a"], [], None, ["b", "c"], []], pa.list_(pa.string())),
    "unused": pa.array([b"\xff"] * 5, pa.binary()),
}
for unit in ["ms", "us", "ns"]:
    columns[f"at {unit}"] = columns["seen"].cast(pa.timestamp(unit))
for kind in ["int8", "uint16", "uint64"]:
    columns[kind] = pa.array([0, 100, None, 7, 127], kind)
table = pa.table(columns)

pq.write_table(table, "snappy.parquet", row_group_size=3)
pq.write_table(table, "zstd.parquet", compression="zstd", use_dictionary=False)
pq.write_table(table, "gzip.parquet", compression="gzip", data_page_version="2.0", version="1.0")


def cell(value):
    """As pandas writes it: what is missing is empty, and so is NaN."""
    if value is None or value != value:
        return ""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


names = [name for name in columns if name not in ("tags", "unused")]
rows = zip(*(table[name].cast(pa.float64()).to_pylist() if name == "paid" else table[name].to_pylist() for name in names))
with open("table.csv", "w") as out:
    out.write(",".join(names) + "\n")
    for row in rows:
        short = [str(np.float32(v)) if name == "part" and v is not None else cell(v) for name, v in zip(names, row)]
        out.write(",".join(short) + "\n")
