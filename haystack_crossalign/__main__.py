"""``python -m haystack_crossalign``: runs `crossalign`, for launchers that start modules."""

from haystack_crossalign.cli.main import main

if __name__ == "__main__":
    main()
