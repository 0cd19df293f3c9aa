"""``python -m ameli_llm`` is the command ``ameli-llm``."""

from __future__ import annotations

from ameli_llm.cli import main

if __name__ == "__main__":
    main()
