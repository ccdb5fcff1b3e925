"""Writes reviews.parquet: labelled text as another program writes it.

Run it as `python make_reviews_parquet.py`, with pyarrow installed; the file here is of pyarrow 26.0.1.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = range(50)
table = pa.table(
    {
        "text": [
            f"an äwful one, number {row}" if row % 2 else f"a fine film, number {row}" for row in ROWS
        ],
        "label": pa.array([row % 2 for row in ROWS], pa.int8()),
        # What other columns hold does not matter.
        "scores": [[row / 2, None] for row in ROWS],
        "film": pa.array([f"film {row // 10}" for row in ROWS]).dictionary_encode(),
    }
)
pq.write_table(
    table, Path(__file__).with_name("reviews.parquet"), row_group_size=20, compression="snappy"
)
