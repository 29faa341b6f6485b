"""The sentences of an answer: what was found, in which words, and how sure it is. Part of `ablate.report`."""
