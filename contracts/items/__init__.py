"""The catalogue: records of items, and rules of answers by what items are; pure."""
