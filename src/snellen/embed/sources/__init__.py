"""Where images come from: what the user named -> inputs in order -> the bytes of each.

``expand`` finds the inputs and ``Reader`` reads them. What can be named:

=============================  ======================================================================================
a file                         an image, whatever its ending, but for the endings below
a folder                       the images in it and below it, and those in its .tar archives and in its Parquet files
                               that hold images; hidden files are left out, no real folder is entered twice, no store
a pattern ``photos/**/*.jpg``  the files it matches; archives and Parquet files among them stand for their images
``shard-{000..099}.tar``       each of them
``x.tar``                      the images in it, read where they are: nothing is unpacked, no link is followed
``x.parquet``                  a row each: a struct {bytes, path}, bytes, or a path
``x.txt``, ``x.csv``           the paths or addresses in it, relative to its folder; ``x.csv::NAME`` says which column,
                               and of Parquet files, patterns and folders of them as well
``-``                          the same as a .txt, on standard input
``s3://``, ``https://`` ...    through fsspec: a file, a list, an archive, all that lies below, or a pattern
=============================  ======================================================================================

Whatever is wrong with one image is the outcome of that image: a missing path, a damaged archive behind its last good
member, a row that holds nothing.
"""

from __future__ import annotations

from snellen.embed.sources.data import LIMIT, Data, Missing
from snellen.embed.sources.expand import expand, paths
from snellen.embed.sources.names import SUFFIXES, named, printable
from snellen.embed.sources.reading import Reader

__all__ = ["LIMIT", "SUFFIXES", "Data", "Missing", "Reader", "expand", "named", "paths", "printable"]
