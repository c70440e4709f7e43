"""What an import did, or would do."""

from pydantic import BaseModel, Field


class LineProblem(BaseModel):
    """Why a line was not imported."""

    line: int = Field(description="In the file; the header is line 1.")
    key: str
    code: str
    detail: str


class ImportReport(BaseModel):
    """What an import did, or would do."""

    dry_run: bool
    read: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0
    problems: list[LineProblem] = Field(
        default_factory=list, description="Every line that failed, in the order of the file."
    )

    def fail(self, line: int, key: str, code: str, detail: str) -> None:
        """Count a line that failed, and say why."""
        self.failed += 1
        self.problems.append(LineProblem(line=line, key=key, code=code, detail=detail))

    def add(self, part: "ImportReport") -> None:
        """Add the report on the lines that come next."""
        for name in ("read", "created", "updated", "unchanged", "failed"):
            setattr(self, name, getattr(self, name) + getattr(part, name))
        self.problems += sorted(part.problems, key=lambda problem: problem.line)


__all__ = ["ImportReport", "LineProblem"]
