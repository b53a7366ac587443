"""Notes of a card in Chinese; the same keys as ``en_notes``."""

PHRASES: dict[str, str] = {
    # ---- what verdicts are worth
    "note.rules_blind": (
        "校准规则判为不通过，而以下规则判为通过：{rules}。它们的限值是固定的，比 CPU 自身舍入对该编码器的影响宽得多。"
    ),
    "note.rules_strict": (
        "校准规则判为通过，而以下规则判为不通过：{rules}。它们的限值是固定的，比该编码器正确运行时的舍入误差还窄；"
        "绝对误差取决于输出的尺度，而尺度由少数离群通道决定。"
    ),
    "note.cosine_blind": (
        "所有余弦都不低于 {cosine}，结论却是不通过：余弦反映的是误差的平方，对小误差几乎没有分辨力。"
    ),
    "note.near_zero": (
        "{output} 的最大相对误差（{most}，平均为 {mean}）只是单个元素的值，在基准接近零处就会很大，不能说明整体情况。"
    ),
    "note.stages_unseen": "候选没有可以输入基准数据的阶段，结论只依据输出得出。",
    "note.golden_bundle": "基准不是本次运行算出的，而是取自 {golden}。",
    "note.left_out": "指定了但没有用于对比的图片：{count} 张。",
    # ---- the device
    "note.convolution_switch": (
        "卷积（包括 patch embedding）保留的有效位可能少于 float32：{switches}。该开关默认打开，大约会损失一半的有效位。"
    ),
    "note.loose_switch": "没有设为严格值的精度开关：{switches}。",
    "note.float64": "NPU 会不作提示地把双精度当作单精度计算；因此基准在 CPU 上计算，设备上拒绝使用 float64。",
    "note.torch_npu": (
        "torch_npu 必须与 torch 和 CANN 都匹配。这里的版本：torch_npu {torch_npu}，torch {torch}，CANN {cann}。"
    ),
    "note.cann_unknown": "读不到 CANN 的版本。torch_npu 必须与 torch 和 CANN 都匹配，运行之前请先核对。",
    "note.set_env": (
        "每个新的终端都要先执行 CANN 的 `source set_env.sh`，否则 torch_npu 无法加载。"
        "`ASCEND_RT_VISIBLE_DEVICES` 决定进程能看到哪些 NPU。"
    ),
    "note.log_directory": "提示无法创建目录 `ascend/log` 的警告可以忽略：只影响日志写到哪里，不影响数值。",
    "note.nothing_patched": (
        "不需要 `transfer_to_npu`：这里不做任何打补丁式的替换，设备只是一个参数。"
        "别的脚本若需要它，必须在其他一切之前导入。"
    ),
    "note.visible_devices": "{variable} 为 {value}：设备编号在这个范围内计数。",
    "note.several_devices": "共有 {count} 个同类设备，全部运行都在 {device} 上进行。",
    "note.fallback": "有算子没有在设备上运行，而是回退到了 CPU，速度数据因此没有意义。记录原文：{because}",
    "note.fallback_unknown": "无法得知是否有算子回退到 CPU。记录原文：{because}",
    "note.not_deterministic": "同一输入运行两次，结果并非逐位相同；比较两次运行时只能以限值为准。",
    "note.findings": "`snellen doctor` 发现了需要处理的问题：{names}，见运行环境。",
    # ---- the encoder
    "note.seeded": "权重由 {seed} 生成：速度和舍入误差与训练无关，特征的含义则离不开训练。",
    "note.fixed_size": "输入固定为 {size} 像素：位置编码表不适用于其他尺寸。",
    "note.positions_resized": "可学习的位置编码从 {stored} 网格变换到了 {grid} 网格（{how}）；各个库的做法并不相同。",
    "note.no_classifier": (
        "这份权重里没有训练好的分类头。外加的分类头是随机的，其类别概率不能当作结果；这里也不给出。"
    ),
    "note.drawn_classifier": "分类头和所有权重一样是随机生成的：类别及其概率没有意义。",
    "note.periods_rounded": (
        "旋转位置编码的周期舍入到 bfloat16，与原始实现一致；timm 和 transformers 不作舍入，特征因此略有差异。"
    ),
    "note.periods_exact": (
        "旋转位置编码的周期是 float32，与 timm 和 transformers 一致。原始实现保存为 bfloat16："
        "`periods.to(torch.bfloat16).to(torch.float32)` 可以复现，使用 snellen 中的原始名称也可以。"
    ),
    "note.no_qkv_bias": "这里的 q、k、v 没有偏置；按其他库格式保存的文件里可能带有全零的偏置。",
    "note.cast": "权重以 {stored} 存储，以 {dtype} 运行。",
    "note.mixed_precision": (
        "本卡只评判 {dtype}。更低的精度或混合精度需要另行证明：请用相应的 dtype 运行 `snellen verify`。"
    ),
    "note.lower_precision": "本卡按 {dtype} 这一级的限值评判 {dtype}，不涉及其他精度。",
    "note.licence": "权重有自己的许可证：{licence}。用于产品之前请先阅读。",
    "note.git_lfs": (
        "没有 git-lfs 时，克隆 {repo} 得到的是指针文件而不是权重：请在其中执行 `git lfs install` 和 `git lfs pull`。"
        "`snellen inspect` 可以分辨两者。"
    ),
    "note.mirror": "访问不了 hub 时，把 `HF_ENDPOINT` 设为镜像地址；没有网络时，用 `--weights` 指定文件夹。",
    "note.local_file": "权重来自本地的文件或文件夹，没有使用网络。",
    # ---- speed and memory
    "note.host_bound": (
        "批大小为 {batches} 时，大部分时间是主机在忙，设备在等待：请加大批大小，或换用对主机要求更低的运行时。"
    ),
    "note.task_queue": "NPU 受限于主机时，`TASK_QUEUE_ENABLE=2` 可以让主机提前下发任务。",
    "note.flat": "批大小 {many} 耗时 {long} 毫秒，批大小 {few} 耗时 {short} 毫秒：较小的批没有把设备占满。",
    "note.out_of_memory": "批大小为 {batches} 时内存不足。",
    "note.allocator_npu": ("NPU 内存不足时，`PYTORCH_NPU_ALLOC_CONF=max_split_size_mb:512` 可以减少内存碎片。"),
    "note.allocator_cuda": ("GPU 显存不足时，`PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True` 可以减少浪费。"),
    "note.first_run": (
        "首次运行耗时 {first} 毫秒，之后为 {steady} 毫秒（批大小 {batch}）：首次运行要编译算子、申请内存。"
        "软件栈缓存在磁盘上的内容会让下一次首次运行更短。"
    ),
    "note.percentiles": (
        "批大小为 {batches} 时缺少部分百分位数：{percent} 需要 {needed} 个样本。请用 `--seconds` 延长测量。"
    ),
    "note.unstable": "批大小为 {batches} 时样本前后不一致：请停掉同时运行的其他程序，重新测量。",
    "note.unsteady": "批大小为 {batches} 时，预热结束后耗时仍在下降：请延长测量。",
    "note.busy": "测量之前还有别的程序在运行：一分钟内平均 {load} 个进程，可用线程 {threads} 个。",
    "note.tuned": "搜索选中的是 {setup}；本卡的精度和速度属于 {runtime}、{dtype}。使用选中的方案之前请先验证。",
    "note.baseline": "加速比以同一次运行中测得的 {setup}（设备 {device}）为基线；换一个基线就是另一个数字。",
}
