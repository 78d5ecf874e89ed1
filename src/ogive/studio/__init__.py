"""The studio: a page in the browser that shows a run while it searches, and steers it."""
