"""The parts of a card as a web page: markup that escapes by itself, plots, pictures, and the page around them."""
