"""`python -m rowhouse` is `rowhouse`."""

from rowhouse.cli import main

if __name__ == "__main__":
    main()
