"""Value-based reinforcement learning (double DQN) on four small environments, over the updates-to-data ratio."""
