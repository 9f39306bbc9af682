"""``python -m haystack_crossalign``: the program `crossalign`, for launchers that start modules."""

from haystack_crossalign.cli.main import main

if __name__ == "__main__":
    main()
