"""Makes the pictures of this folder from running pages: ``python docs/pages/shots.py [ADDRESS]``.

Start ``dragon ui`` first; the recipes ``chat`` and ``tiny`` have been run. It needs Chromium.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
SHOTS = {  # name: (path, width, height, colours of the page, milliseconds for Dagster or MLflow)
    "home": ("/", 1400, 800, "light", 0),
    "report": ("/reports/chat", 1400, 900, "light", 0),
    "report-narrow": ("/reports/chat", 390, 844, "dark", 0),
    "asset": ("/assets/chat/foundation", 1400, 900, "light", 0),
    "lineage": ("/trace/chat/foundation", 1400, 800, "dark", 0),
    "dagster": ("/dagster/assets/chat/foundation", 1400, 1000, "light", 15_000),
    "mlflow": ("/mlflow/tiny/foundation/current?page=model", 1400, 1000, "light", 15_000),
}
COLOURS = 96  # a palette keeps each picture below 100 kB


def main(address: str) -> None:
    """Take each picture, reduce its colours and say its size."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for name, (path, width, height, scheme, wait) in SHOTS.items():
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=scheme
            )
            page = context.new_page()
            page.goto(address + path, timeout=120_000)
            page.wait_for_timeout(wait or 500)
            picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            place = HERE / f"{name}.png"
            picture.quantize(COLOURS, dither=Image.Dither.NONE).save(place, optimize=True)
            print(f"{place.name}: {place.stat().st_size / 1000:.0f} kB")
            context.close()
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:3000")
