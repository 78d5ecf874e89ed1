"""``python -m ogive`` is the `ogive` command."""

from ogive.cli.main import main

if __name__ == "__main__":
    main()
