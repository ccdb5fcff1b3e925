"""Cuts the data sets of this folder from their sources.

    python3 make.py SOURCES

SOURCES holds the files that README.md names. Standard library only; the same sources give the same
bytes.
"""
import collections
import csv
import json
import pathlib
import sys

# Words that a page of examples need not show.
LEFT_OUT = ("fuck", "shit", "bitch", "bastard", "whore", "slut", "nigg", "fag", "rape", "porn")
INTENTS = (
    "alarm", "book_flight", "definition", "exchange_rate", "fun_fact", "meal_suggestion", "play_music",
    "timer", "translate", "weather",
)
PAIRS_PER_PARADIGM = 100
WORDS_PER_REVIEW = 120


def is_fit(text):
    return not any(word in text.lower() for word in LEFT_OUT)


def reviews(sources):
    """The first words of each review."""
    with open("reviews.jsonl", "w", encoding="utf-8") as out:
        for line in (sources / "movie_reviews_400.jsonl").open(encoding="utf-8"):
            row = json.loads(line)
            text = " ".join(row["text"].split()[:WORDS_PER_REVIEW])
            label = {"neg": "negative", "pos": "positive"}[row["label"]]
            if is_fit(text):
                out.write(json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n")


def languages(sources):
    """Every line; `article` is the same in every language, so that none is on two sides of a split."""
    with open("languages.jsonl", "w", encoding="utf-8") as out:
        for line in (sources / "udhr12.jsonl").open(encoding="utf-8"):
            row = json.loads(line)
            row = {"text": row["text"], "label": row["label"], "article": row["idx"]}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def intents(sources):
    """All questions of ten intents."""
    found = json.loads((sources / "clinc150_small.json").read_text(encoding="utf-8"))
    rows = [row for side in ("train", "val", "test") for row in found[side] if row[1] in INTENTS]
    with open("intents.csv", "w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("text", "label"))
        writer.writerows(rows)


def pairs(sources):
    """The first pairs of each paradigm."""
    seen = collections.Counter()
    with (sources / "blimp12.tsv").open(encoding="utf-8") as lines, open(
        "pairs.tsv", "w", encoding="utf-8"
    ) as out:
        out.write("good\tbad\tparadigm\n")
        next(lines)
        for line in lines:
            good, bad, paradigm, _ = line.rstrip("\n").split("\t")
            if seen[paradigm] < PAIRS_PER_PARADIGM and is_fit(line):
                seen[paradigm] += 1
                out.write(f"{good}\t{bad}\t{paradigm}\n")


if __name__ == "__main__":
    sources = pathlib.Path(sys.argv[1])
    for make in (reviews, languages, intents, pairs):
        make(sources)
