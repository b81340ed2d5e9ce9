"""A rule of one's own: on a Monday that is a holiday, learn what the long weekend has changed."""

from datetime import date

import ratchet as rt

HOLIDAYS = {
    date(2013, 9, 2): "Labor Day",
    date(2013, 10, 14): "Columbus Day",
}


@rt.rule(on="feedback.joined", when="event.data.rows >= 100")
def learn_from_holidays(event: rt.Event, loop: rt.Loop) -> None:
    """Train with the outcomes of the weekend as soon as they are joined, with a faster learning rate."""
    holiday = HOLIDAYS.get(event.at.date())
    if holiday:
        loop.start_run(learning_rate=0.15, because=holiday)
