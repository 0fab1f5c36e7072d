"""The acts: each shows something on the stage, counts it, and checks it."""
