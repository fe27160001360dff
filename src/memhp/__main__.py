"""``python -m memhp``."""

import sys

from memhp.interfaces.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
