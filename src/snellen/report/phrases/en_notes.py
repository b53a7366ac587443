"""Notes of a card in English; each stands in a card where a fact of its record calls for it."""

PHRASES: dict[str, str] = {
    # ---- what verdicts are worth
    "note.rules_blind": (
        "These rules pass although the calibrated one fails: {rules}. Their limits are fixed, and wider than what the "
        "CPU's own rounding does to this encoder."
    ),
    "note.rules_strict": (
        "These rules fail although the calibrated one passes: {rules}. Their limits are fixed, and narrower than the "
        "rounding of a correct run of this encoder; an absolute error depends on the scale of the outputs, which a few "
        "outlier channels decide."
    ),
    "note.cosine_blind": (
        "Every cosine is {cosine} or more although the verdict is a fail: a cosine shows the square of an error, and "
        "says little of small ones."
    ),
    "note.near_zero": (
        "The largest relative error of {output} ({most}, where the mean is {mean}) is that of one element, and large "
        "where the golden is near zero; it says nothing of the whole."
    ),
    "note.stages_unseen": "No stage could be fed the golden's input; the verdict is on outputs alone.",
    "note.golden_bundle": "The golden was not computed in this run, but taken from {golden}.",
    "note.left_out": "Images that were named, but not compared with: {count}.",
    # ---- the device
    "note.convolution_switch": (
        "Convolutions, the patch embedding among them, may keep fewer bits than float32: {switches}. It is on unless "
        "turned off, and costs about half of the significant bits."
    ),
    "note.loose_switch": "Precision switches that were not strict: {switches}.",
    "note.float64": (
        "An NPU computes double precision as single, without a word; the golden is therefore computed on the CPU, and "
        "float64 is refused on the device."
    ),
    "note.torch_npu": (
        "torch_npu has to match both torch and CANN. Here: torch_npu {torch_npu}, torch {torch}, CANN {cann}."
    ),
    "note.cann_unknown": (
        "CANN's version could not be read. torch_npu has to match both torch and CANN: compare them before a run."
    ),
    "note.set_env": (
        "`source set_env.sh` of CANN in every new shell, or torch_npu does not load. `ASCEND_RT_VISIBLE_DEVICES` "
        "chooses the NPUs that a process sees."
    ),
    "note.log_directory": (
        "A warning that the directory `ascend/log` cannot be created is harmless: the log goes elsewhere or nowhere, "
        "the numbers do not change."
    ),
    "note.nothing_patched": (
        "`transfer_to_npu` is not needed: nothing is patched, the device is an argument. Where another script needs "
        "it, it has to be imported before anything else."
    ),
    "note.visible_devices": "{variable} was {value}: device numbers count within these.",
    "note.several_devices": "There are {count} devices of this kind; everything ran on {device}.",
    "note.fallback": (
        "Operators ran on the CPU instead of the device, which makes the figures of speed meaningless. In the words of "
        "the record: {because}"
    ),
    "note.fallback_unknown": (
        "Whether operators ran on the CPU instead of the device is not known. In the words of the record: {because}"
    ),
    "note.not_deterministic": "The same input twice does not give the same bits; compare runs within the limits only.",
    "note.findings": "`snellen doctor` found something to mend: {names}; see the environment.",
    # ---- the encoder
    "note.seeded": "The weights are drawn from {seed}: speed and rounding need no training, features do.",
    "note.fixed_size": "The input is fixed at {size} pixels: the table of positions holds for no other size.",
    "note.positions_resized": (
        "The learned positions were brought from a grid of {stored} to one of {grid} ({how}); libraries differ in how."
    ),
    "note.no_classifier": (
        "There is no trained classifier in these weights. A classification head put on top would be random, and its "
        "class probabilities no result; none is shown here."
    ),
    "note.drawn_classifier": "The classifier is drawn like all weights: classes and their probabilities mean nothing.",
    "note.periods_rounded": (
        "The periods of the rotary positions are rounded to bfloat16, as in the original; timm and transformers do not "
        "round them, so their features differ a little."
    ),
    "note.periods_exact": (
        "The periods of the rotary positions are float32, as in timm and transformers. The original keeps them in "
        "bfloat16: `periods.to(torch.bfloat16).to(torch.float32)` reproduces it, as do snellen's original names."
    ),
    "note.no_qkv_bias": (
        "Queries, keys and values have no bias here; files in another library's spelling may carry biases of zero."
    ),
    "note.cast": "The weights are stored as {stored} and were run as {dtype}.",
    "note.mixed_precision": (
        "This card judges {dtype} alone. A lower or mixed precision needs its own proof: run `snellen verify` with it."
    ),
    "note.lower_precision": "This card judges {dtype}, by the limits of that class; it says nothing of others.",
    "note.licence": "The weights are under their own licence: {licence}. Read it before they go into a product.",
    "note.git_lfs": (
        "A clone of {repo} without git-lfs holds pointer files instead of weights: run `git lfs install` and "
        "`git lfs pull` in it. `snellen inspect` tells the one from the other."
    ),
    "note.mirror": (
        "Where the hub cannot be reached, set `HF_ENDPOINT` to a mirror; without network, name a folder in `--weights`."
    ),
    "note.local_file": "The weights came from a local file or folder, without network.",
    # ---- speed and memory
    "note.host_bound": (
        "At batch {batches} the host was busy for most of the time and the device waited for it: take larger batches, "
        "or a runtime that asks less of the host."
    ),
    "note.task_queue": "On an NPU that is host-bound, `TASK_QUEUE_ENABLE=2` lets the host queue work ahead.",
    "note.flat": (
        "A batch of {many} takes {long} ms, one of {few} {short} ms: the device is not filled by the smaller one."
    ),
    "note.out_of_memory": "At batch {batches} the memory was not enough.",
    "note.allocator_npu": (
        "On an NPU whose memory is short, `PYTORCH_NPU_ALLOC_CONF=max_split_size_mb:512` keeps pieces larger."
    ),
    "note.allocator_cuda": (
        "On a GPU whose memory is short, `PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True` wastes less of it."
    ),
    "note.first_run": (
        "The first run took {first} ms, later ones {steady} ms (batch {batch}): operators are compiled and memory is "
        "taken then. What the stack keeps on disk makes the next first run shorter."
    ),
    "note.percentiles": (
        "Percentiles are missing at batch {batches}: {percent} needs {needed} samples. Measure longer with `--seconds`."
    ),
    "note.unstable": "The samples at batch {batches} are not of one thing; end what else runs there and measure again.",
    "note.unsteady": "At batch {batches} times were still falling when the warm-up was over; measure longer.",
    "note.busy": "Something else was running before: {load} processes over a minute, on {threads} threads.",
    "note.tuned": (
        "The search picked {setup}; this card's accuracy and speed are those of {runtime} in {dtype}. Verify the "
        "picked one before it is used."
    ),
    "note.baseline": "The speed-up is over {setup} on {device}, in the same run; over another it differs.",
}
