"""The tables: data sets x methods x settings x seeds, and the files they are written to."""
