// What time it is, somewhere else too, and how far two dates are apart.
package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata"
)

var tools = []Tool{{
	Name: "clock",
	Description: "Tell the time and reckon with dates: what time it is in a city or time zone, a time of one zone in another, " +
		"how long it is between two dates, the weekday and ISO week of a date.",
	Params: `{
		"type": "object",
		"additionalProperties": false,
		"properties": {
			"zone": { "type": "string", "maxLength": 64, "description": "City or time zone, such as \"Tokyo\", \"Europe/Berlin\" or \"UTC+2\". UTC when not given." },
			"to": { "type": "string", "maxLength": 64, "description": "Another city or zone: the same moment there." },
			"at": { "type": "string", "maxLength": 64, "description": "A date or time in zone, such as \"2026-03-29 14:30\" or \"14:30\". Now when not given." },
			"until": { "type": "string", "maxLength": 64, "description": "A second date or time in zone: how long it is from at to there." }
		}
	}`,
	Execute: clock,
}}

type question struct{ Zone, To, At, Until string }

func clock(params json.RawMessage, _ Context) Result {
	var asked question
	if err := Parse(params, &asked); err != nil {
		return Fail("%v", err)
	}
	return answerAt(asked, time.Now())
}

func answerAt(asked question, now time.Time) Result {
	zone, err := findZone(asked.Zone)
	if err != nil {
		return Fail("%v", err)
	}
	at, note := now.In(zone), ""
	if asked.At != "" {
		if at, note, err = readTime(asked.At, zone, now); err != nil {
			return Fail("%v", err)
		}
	}
	lines := []string{describeTime(at) + note}
	if asked.To != "" {
		there, err := findZone(asked.To)
		if err != nil {
			return Fail("%v", err)
		}
		lines = append(lines, describeTime(at.In(there))+"; "+ahead(at, at.In(there)))
	}
	if asked.Until != "" {
		end, note, err := readTime(asked.Until, zone, now)
		if err != nil {
			return Fail("%v", err)
		}
		lines = append(lines, describeTime(end)+note, between(at, end))
	}
	_, week := at.ISOWeek()
	return Result{Content: strings.Join(lines, "\n"), Details: map[string]any{
		"iso": at.Format(time.RFC3339), "weekday": at.Weekday().String(), "isoWeek": week, "unixMs": at.UnixMilli(),
	}}
}

// Sunday 29 November 2026, 14:30:05 in Asia/Tokyo (JST, UTC+09:00), week 48, day 333 of the year
func describeTime(at time.Time) string {
	_, week := at.ISOWeek()
	name, _ := at.Zone()
	offset := at.Format("UTC-07:00")
	if name == "" || strings.ContainsAny(name, "+-0123456789") || name == "UTC" {
		name = offset
	} else {
		name += ", " + offset
	}
	return fmt.Sprintf("%s in %s (%s), ISO week %d, day %d of the year",
		at.Format("Monday 2 January 2006, 15:04:05"), at.Location(), name, week, at.YearDay())
}

func ahead(here, there time.Time) string {
	_, from := here.Zone()
	_, to := there.Zone()
	minutes := (to - from) / 60
	switch {
	case minutes == 0:
		return "the same time there"
	case minutes > 0:
		return "ahead by " + hours(minutes)
	}
	return "behind by " + hours(-minutes)
}

func hours(minutes int) string {
	if minutes%60 == 0 {
		return counted(minutes/60, "hour")
	}
	return fmt.Sprintf("%s %s", counted(minutes/60, "hour"), counted(minutes%60, "minute"))
}

// In days as the calendar counts them, and in hours as a stopwatch does: they differ where a clock was put forward.
func between(from, to time.Time) string {
	direction := "later"
	if to.Before(from) {
		from, to, direction = to, from, "earlier"
	}
	if from.Equal(to) {
		return "Both are the same moment."
	}
	years, months, days := calendar(from, to)
	parts := []string{}
	for _, part := range []struct {
		count int
		noun  string
	}{{years, "year"}, {months, "month"}, {days, "day"}} {
		if part.count > 0 {
			parts = append(parts, counted(part.count, part.noun))
		}
	}
	total := to.Sub(from)
	exact := fmt.Sprintf("%s exactly, %s in all", strings.TrimSuffix(total.Round(time.Second).String(), "0s"), counted(dayNumber(to)-dayNumber(from), "calendar day"))
	if len(parts) == 0 {
		return fmt.Sprintf("The second is %s %s.", strings.Replace(exact, " exactly", "", 1), direction)
	}
	return fmt.Sprintf("The second is %s %s (%s).", strings.Join(parts, ", "), direction, exact)
}

func calendar(from, to time.Time) (years, months, days int) {
	whole := (to.Year()-from.Year())*12 + int(to.Month()) - int(from.Month())
	for whole > 0 && addMonths(from, whole).After(to) {
		whole--
	}
	days = dayNumber(to) - dayNumber(addMonths(from, whole))
	if clockTime(to) < clockTime(from) {
		days--
	}
	return whole / 12, whole % 12, max(days, 0)
}

// The same day of a later month, or its last one: 31 January and one month is 28 February.
func addMonths(at time.Time, months int) time.Time {
	first := time.Date(at.Year(), at.Month()+time.Month(months), 1, at.Hour(), at.Minute(), at.Second(), 0, at.Location())
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(at.Day(), last)-1)
}

func clockTime(at time.Time) int { return at.Hour()*3600 + at.Minute()*60 + at.Second() }

func dayNumber(at time.Time) int {
	return int(time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC).Unix() / 86_400)
}

func counted(count int, noun string) string {
	if count == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", count, noun)
}
