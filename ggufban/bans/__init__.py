"""What people write -> which tokens are illegal now."""

from ggufban.bans.banlist import BanList, Match
from ggufban.bans.language import Pattern

__all__ = ["BanList", "Match", "Pattern"]
