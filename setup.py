"""Maps `components/` and `pipelines/` into the wheel as `podium.components` and `podium.pipelines`."""

from setuptools import find_namespace_packages, setup

ROOTS = {"podium.components": "components", "podium.pipelines": "pipelines"}
TESTS = ["*.tests", "*.tests.*"]

setup(
    package_dir={"": "src", **ROOTS},
    packages=[
        *find_namespace_packages("src", include=["podium", "podium.*"]),
        *ROOTS,
        *(
            f"{name}.{sub}"
            for name, root in ROOTS.items()
            for sub in find_namespace_packages(root, exclude=["tests", *TESTS])
        ),
    ],
    package_data={"podium.config": ["conf/**/*.yaml"], "podium.report": ["*.j2", "*.css"], "": ["*.yaml", "*.md"]},
)
