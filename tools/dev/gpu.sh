# gpu.sh: ./dev gpu tests and measures on an NVIDIA GPU.

dev_gpu() {
    die "gpu: there is no CUDA device in mdl yet"
}
