"""What a reader of a board's figures must know, each said once."""

REMARKS = {
    "unread": (
        "the energy counter could not be read ({why}); power is integrated meanwhile, where it "
        "is told"
    ),
    "still": "the energy counter stood still; power was integrated meanwhile, where it was told",
    "torn": "an impossible reading of the energy counter was passed over; nothing is lost",
    "reset": (
        "the energy counter fell back (the driver was loaded anew, or the board was reset): "
        "{gap_s:.0f} s before that are a gap"
    ),
    "leap": "the energy counter leapt by more than can be drawn: {gap_s:.0f} s are a gap",
    "slow": "NVML took long to answer: readings whose time is not known were left out",
    "shared": (
        "other processes computed on it too: its bounds run from nothing to all that it drew; "
        "the job's part goes by SM utilisation where the driver knows it, else it is all"
    ),
    "unverified": (
        "attribution: device, unverified: whose processes computed on it cannot be told here "
        "(another pid namespace, or no permission); all that it drew is counted"
    ),
    "seen": (
        "the job's processes compute on it, and no board was named for the job: what it draws "
        "while they are seen there, once a second, is counted"
    ),
    "elsewhere": (
        "the job's processes compute on it though it is not among the boards of the job: what it "
        "draws while they are seen there, once a second, is counted too"
    ),
    "unknown": (
        "which processes compute on it is not known ({why}): if the job's do, name it with --gpus "
        "or CUDA_VISIBLE_DEVICES, or it is not counted"
    ),
    "disagree": (
        "energy counter and integrated power differ by more than 10 %: the bounds span both"
    ),
}
