"""What stands in and about the plots and pictures of a web page, in English."""

PHRASES: dict[str, str] = {
    "page.contents": "Contents",
    "page.chart": "Precision",
    "page.chart.about": (
        "As on an eye chart: each line is finer than the one above, and the last one read is what counts."
    ),
    "page.chart.met": "met",
    "page.chart.required": "required",
    "page.chart.both": "required and met",
    "page.chart.unread": "not met",
    "page.chart.none": "no known class was met",
    "page.key.ratio": "worst error / limit",
    "page.key.ratio.note": "at most 1 passes",
    "page.key.class": "precision met",
    "page.key.class.note": "{expected} required",
    "page.key.rate": "images / s",
    "page.key.rate.note": "batch {batch}",
    "page.key.latency": "latency p50, ms",
    "page.key.latency.note": "batch {batch}",
    "page.key.memory": "peak memory, MiB",
    "page.key.allocated_peak_bytes": "allocated on the device",
    "page.key.device_used_bytes": "in use on the device",
    "page.key.process_peak_bytes": "of the process",
    "page.none": "not known",
    "page.latency": "Latency of one batch",
    "page.latency.axis": "ms",
    "page.latency.about": "Median latency by batch size: {values}.",
    "page.throughput": "Throughput",
    "page.throughput.axis": "images / s",
    "page.throughput.about": "Images a second by batch size: {values}.",
    "page.logarithmic": "{axis}, logarithmic",
    "page.batch": "batch size",
    "page.speed.note": "Mark: {middle}. Thick bar: 95 % interval of the median. Thin bar: least to greatest sample.",
    "page.speed.median": "median",
    "page.speed.mean": "batch / mean latency",
    "page.speed.stream": "rate of the stream",
    "page.beyond": "An arrow: the greatest sample lies beyond the plot.",
    "page.this": "this run",
    "page.baseline": "baseline: {device}, {setup}",
    "page.samples": "Every sample",
    "page.samples.axis": "sample / median of its batch size, in the order taken",
    "page.samples.batch": "batch {batch}",
    "page.samples.count": "{count} samples, median {p50} ms",
    "page.samples.about": (
        "All latency samples in the order they were taken, over the median of their batch size: {values}."
    ),
    "page.samples.one": "batch {batch}: {count} samples, from {least} to {most} times the median",
    "page.samples.note": (
        "Level rows are steady; a slope is drift, a lone dot an outlier. Upright lines part the rounds."
    ),
    "page.drift.cumulative": "Running freely: errors add up",
    "page.drift.isolated": "Each stage alone, fed the golden's input",
    "page.drift.axis": "relative error, logarithmic",
    "page.drift.about": "Relative error against the golden, stage by stage. {values}",
    "page.drift.candidate": "candidate: {first} at {start}, {last} at {end}, greatest {most} at {at}",
    "page.drift.reference": "noise floor: at most {most}",
    "page.drift.none": "The candidate shows no stages; the noise floor of the trusted run is drawn alone.",
    "page.drift.culprit": "first culprit",
    "page.candidate": "candidate",
    "page.floor": "noise floor: trusted run on the CPU in {precision}",
    "page.limit": "limit",
    "page.broken": "not finite",
    "page.exact": "A mark on the axis itself: exactly 0.",
    "page.ladder": "Precision ladder",
    "page.ladder.axis": "relative error, logarithmic",
    "page.ladder.about": "Where the candidate lies among trusted CPU runs of known precision. {values}",
    "page.ladder.one": "{output}: candidate {error}, {rungs}",
    "page.histogram": "Errors of {output}, element by element",
    "page.histogram.axis": "share of elements, %",
    "page.histogram.error": "absolute error, logarithmic",
    "page.histogram.about": (
        "Distribution of absolute errors of {output}. Candidate: {count} elements, most often near {mode}, "
        "{zeros} without any error. Reference: most often near {reference}."
    ),
    "page.histogram.note": (
        "Of {count} elements {zeros} without any error and {small} with errors below {low} are not drawn."
    ),
    "page.histogram.reference": "trusted run on the CPU in {precision}",
    "page.pictures": "What the encoder sees: {image}",
    "page.pictures.photo": "photograph",
    "page.pictures.golden": "golden",
    "page.pictures.candidate": "candidate",
    "page.pictures.differences": "where they differ",
    "page.pictures.photo.alt": "The photograph {image}, as it was shown to the encoder",
    "page.pictures.golden.alt": (
        "Patch features of {image} in the golden, three principal components as red, green and blue"
    ),
    "page.pictures.candidate.alt": "The same features of {image} in the candidate, in the same components",
    "page.pictures.differences.alt": (
        "Relative error of each patch of {image}: largest {most}, in row {row}, column {column}"
    ),
    "page.pictures.scale": "relative error of a patch",
    "page.pictures.note": (
        "{grid} patches. Red, green and blue are three principal components of the golden, which hold {explained} % of "
        "the variance. Relative error of a patch: {mean} in the mean, at most {most}, in row {row}, column {column}."
    ),
    "page.pictures.same": "No patch differs.",
    "page.made": "Made by snellen {version}, {when}",
}
