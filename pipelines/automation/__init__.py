"""What happens without a click, once it is switched on: schedules, sensors, notifications."""
